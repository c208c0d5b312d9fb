use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use actix::ArbiterHandle;
use common::{
    supervision::{Spec, Supervisor},
    timeline::IncidentKind,
};

use super::{ExperimentsHandle, Laboratory, Notebook, Site};
use crate::{
    console::{Feed, Fleet},
    upstream::Upstreams,
};

/// Starts the laboratory, which breaks something of `upstreams` on purpose, places orders at the public port `entry`, and
/// shows in `feed` what came of it. `asks_for_tokens` says whether an order needs a token just now.
pub fn open(
    supervisor: &Supervisor,
    arbiter: &ArbiterHandle,
    upstreams: &Upstreams,
    entry: SocketAddr,
    asks_for_tokens: impl Fn() -> bool + Send + Sync + 'static,
    feed: &Feed,
) -> ExperimentsHandle {
    let shown = feed.clone();
    let notebook = Notebook::new(move |receipt| shown.receipt(receipt));
    let entry = format!("http://{}", reachable(entry));
    let (upstreams, written) = (upstreams.clone(), notebook.clone());
    let laboratory = supervisor.supervise(arbiter, Spec::new(Laboratory::NAME), move |_| {
        let site = Site::new(Fleet::new(upstreams.clone()), entry.clone());
        Ok(Laboratory::new(site, written.clone()))
    });
    let timeline = supervisor.timeline().clone();
    let note = move |what: &str| timeline.note(IncidentKind::Operator, "laboratory", what);
    ExperimentsHandle::new(laboratory, notebook, asks_for_tokens, note)
}

/// An address that means all of them is reached by that of this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(host, address.port())
}
