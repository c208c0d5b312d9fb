//! Finds the addresses behind the names in the settings, again and again.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Upstream;
use crate::settings::UpstreamUrl;

/// The longest pause while a name leads nowhere, such as that of a service that has still to start.
const TROUBLED: Duration = Duration::from_secs(1);
/// The shortest pause, however many connections fail.
const SHORTEST: Duration = Duration::from_millis(500);

/// Resolves `url` at once, then again and again, and where a connection failed.
pub async fn resolve_for_ever(upstream: &Upstream, url: &UpstreamUrl) -> Infallible {
    loop {
        let connect_failed = upstream.connect_failed();
        resolve(upstream, url).await;
        let every = upstream.settings().resolve_every;
        let pause = if upstream.is_resolved(url) { every } else { every.min(TROUBLED) };
        tokio::time::sleep(pause.min(SHORTEST)).await;
        tokio::select! {
            () = tokio::time::sleep(pause.saturating_sub(SHORTEST)) => {}
            () = connect_failed => {}
        }
    }
}

/// Resolves `url` once.
pub async fn resolve(upstream: &Upstream, url: &UpstreamUrl) {
    let found = match tokio::net::lookup_host((url.host(), url.port())).await {
        Ok(addresses) => match addresses.collect::<Vec<SocketAddr>>() {
            none if none.is_empty() => Err("no address".to_owned()),
            addresses => Ok(addresses),
        },
        Err(error) => Err(error.to_string()),
    };
    upstream.resolved(url, found, Instant::now());
}
