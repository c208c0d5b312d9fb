//! What becomes of a request: passed on, answered here, or refused. No byte of its body is read for that, and
//! nothing is waited for.

use std::{
    cell::Cell,
    mem::MaybeUninit,
    rc::Rc,
    time::{Instant, SystemTime},
};

use common::http::RouteLabel;

use super::{
    metrics::RequestPlace,
    origin::Origin,
    own::OwnAnswer,
    refusal::{self, Refusal},
    request::{self, Sender},
    session::Peer,
    wire::HEAD_ROOM,
    worker::{Front, Held, Shared, Worker},
};
use crate::{
    guard::{Denied, Principal},
    http1::{BodyLength, HeadFault, MOST_FIELDS, Method, RequestHead},
    policy::Client,
    routing::Route,
    settings::{AuthMode, Rate},
};

/// Memory that the exchanges of one connection use again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The method as the client wrote it.
    pub method: String,
    /// The path and query to ask the service for.
    pub asked: String,
    /// The lines of the head that any endpoint gets.
    pub fields: Vec<u8>,
    /// The lines that the gateway adds to whatever is answered.
    pub added: Vec<u8>,
    /// What is about to be written.
    pub out: Vec<u8>,
}

impl Scratch {
    /// Gives back what a large request has taken; thousands of connections may rest.
    pub fn rest(&mut self) {
        for memory in [&mut self.fields, &mut self.added, &mut self.out] {
            if memory.capacity() > HEAD_ROOM {
                *memory = Vec::new();
            }
        }
    }

    fn clear(&mut self) {
        self.method.clear();
        self.asked.clear();
        self.fields.clear();
        self.added.clear();
        self.out.clear();
    }
}

/// What is known of every request, whatever becomes of it.
pub struct Asked {
    pub started: Instant,
    pub held: Rc<Held>,
    pub origin: Origin,
    pub method: Method,
    pub place: RequestPlace,
    pub length: BodyLength,
    /// Whether the client speaks HTTP/1.0.
    pub old: bool,
    /// Whether the client wants to go on with the connection.
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// What the client was answered, so far: 0 for nothing.
    pub status: Cell<u16>,
}

impl Asked {
    /// The settings that held when the request came.
    pub fn front(&self) -> &Front {
        &self.held.front
    }

    /// What the request's place is called in metrics and logs.
    pub fn label(&self) -> RouteLabel {
        match self.place {
            RequestPlace::Unknown => RouteLabel::UNKNOWN,
            RequestPlace::Own(label) => RouteLabel::from(label),
            RequestPlace::Route(number) => self.held.front.table.route(number).label.clone(),
        }
    }
}

/// A request that is passed on.
pub struct Plan {
    /// The number of its route.
    pub route: usize,
    /// Whether asking twice does no more than asking once.
    pub repeatable: bool,
    /// Whether the connection is to become a WebSocket.
    pub upgrade: bool,
}

/// What becomes of a request.
pub enum Decision {
    Forward(Plan),
    Own(OwnAnswer),
}

/// Decides on the request whose head is `bytes`.
pub fn decide(
    bytes: &[u8],
    peer: &Peer,
    worker: &Worker,
    held: Rc<Held>,
    started: Instant,
    scratch: &mut Scratch,
) -> (Asked, Result<Decision, Refusal>) {
    scratch.clear();
    let wall = SystemTime::now();
    let mut slots = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let head = match RequestHead::read(bytes, &mut slots, held.front.settings.limits.header_count) {
        Ok(head) => head,
        Err(fault) => return (unreadable(held, started, wall, scratch), Err(refusal::head(fault))),
    };
    let origin = Origin::accept_or_make(head.request_id, head.traceparent, wall);
    origin.write_to(&mut scratch.added);
    scratch.method.push_str(head.method_name);
    let mut asked = Asked {
        started,
        held,
        origin,
        method: head.method,
        place: RequestPlace::Unknown,
        length: head.length,
        old: head.old,
        keep_alive: head.keep_alive,
        expects_continue: head.expects_continue,
        status: Cell::new(0),
    };
    let held = asked.held.clone();
    let deciding = Deciding { head: &head, peer, held: &held, shared: &worker.shared, wall };
    let decision = deciding.decide(&mut asked, scratch);
    (asked, decision)
}

/// What is known of a request whose head nobody can read.
pub fn unreadable(held: Rc<Held>, started: Instant, wall: SystemTime, scratch: &mut Scratch) -> Asked {
    scratch.clear();
    let origin = Origin::accept_or_make(None, None, wall);
    origin.write_to(&mut scratch.added);
    Asked {
        started,
        held,
        origin,
        method: Method::Other,
        place: RequestPlace::Unknown,
        length: BodyLength::None,
        old: false,
        keep_alive: false,
        expects_continue: false,
        status: Cell::new(0),
    }
}

struct Deciding<'a, 'h, 'b> {
    head: &'a RequestHead<'h, 'b>,
    peer: &'a Peer,
    held: &'a Held,
    shared: &'a Shared,
    wall: SystemTime,
}

impl Deciding<'_, '_, '_> {
    fn decide(&self, asked: &mut Asked, scratch: &mut Scratch) -> Result<Decision, Refusal> {
        let head = self.head;
        let front = &*self.held.front;
        let settings = &front.settings;
        if let Some(cors) = &settings.cors {
            cors.write_headers(head.origin, &mut scratch.added);
        }
        if matches!(head.method, Method::Connect | Method::Trace | Method::Other) {
            return Err(refusal::method());
        }
        if let Some(own) = OwnAnswer::to(head.path, self.shared) {
            asked.place = RequestPlace::Own(own.label());
            return match head.method {
                Method::Get | Method::Head => Ok(Decision::Own(own)),
                Method::Options if head.asked_method.is_some() => {
                    self.preflight(front, &asked.origin, scratch)
                }
                _ => Err(refusal::not_readable()),
            };
        }
        let number = front.table.find(head.path).ok_or_else(refusal::no_route)?;
        let route = front.table.route(number);
        asked.place = RequestPlace::Route(number);
        route.forward(head.path, head.query, &mut scratch.asked).map_err(refusal::unsafe_path)?;
        if head.method == Method::Options
            && head.origin.is_some()
            && head.asked_method.is_some()
            && settings.cors.is_some()
        {
            return self.preflight(front, &asked.origin, scratch);
        }
        let peer = self.peer.address;
        let sender = Sender { peer, trusted: settings.trusted.contain(peer) };
        let principal = self.admit(route, sender, asked.started, scratch)?;
        if let BodyLength::Known(length) = head.length
            && length > route.settings.body_bytes
        {
            return Err(refusal::too_large(route.settings.body_bytes));
        }
        let upgrade = self.wants_websocket(route)?;
        let identity = principal.as_ref().map_or(&b""[..], |principal| principal.header_lines());
        let sender = (sender, self.peer.text.as_str());
        request::write_fields(head, sender, &asked.origin, identity, upgrade, &mut scratch.fields);
        let repeatable = head.method.is_idempotent() || head.keyed;
        Ok(Decision::Forward(Plan { route: number, repeatable, upgrade }))
    }

    /// Who asks, and whether that one may ask once more.
    fn admit(
        &self,
        route: &Route,
        sender: Sender,
        now: Instant,
        scratch: &mut Scratch,
    ) -> Result<Option<Rc<Principal>>, Refusal> {
        let front = &*self.held.front;
        let since_epoch = self.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let checked = self.held.guard.check(self.head.authorization, since_epoch.as_secs());
        let public = route.is_public(self.head.method_name, self.head.path);
        let open = front.settings.auth.mode == AuthMode::Open;
        let checked = match checked {
            Ok(None) if !public && !open => Err(Denied::Missing),
            // What is public stays so to those whose token is not good any more, or they could not log in again; the
            // token just counts for nothing.
            Err(_) if public => Ok(None),
            Err(Denied::KeysUnavailable) if open => Ok(None),
            checked => checked,
        };
        // Who shows no good token is counted by address, or tokens could be tried without end.
        let (scope, rate) = match &route.settings.rate_limit {
            Some(own) => (route.scope, Some(own)),
            None => (0, front.settings.rate_limit.as_ref()),
        };
        if let Some(rate) = rate {
            let principal = checked.as_ref().ok().and_then(Option::as_deref);
            self.count((scope, rate), principal, sender, now, scratch)?;
        }
        checked.map_err(refusal::denied)
    }

    fn count(
        &self,
        (scope, rate): (u32, &Rate),
        principal: Option<&Principal>,
        sender: Sender,
        now: Instant,
        scratch: &mut Scratch,
    ) -> Result<(), Refusal> {
        let client = match principal {
            Some(principal) => Client::Subject(&principal.subject),
            None => Client::Address(sender.client(self.head.fields, &self.held.front.settings.trusted)),
        };
        let allowance = self.shared.limiter.check(scope, rate, client, now);
        allowance.write_headers(rate, &mut scratch.added);
        match allowance.allowed {
            true => Ok(()),
            false => Err(refusal::limited(allowance.retry_after_s)),
        }
    }

    fn preflight(&self, front: &Front, origin: &Origin, scratch: &mut Scratch) -> Result<Decision, Refusal> {
        let (Some(cors), Some(page)) = (&front.settings.cors, self.head.origin) else {
            return Err(refusal::not_readable());
        };
        // The lines of an answer proper are not those of a preflight.
        scratch.added.clear();
        origin.write_to(&mut scratch.added);
        let head = self.head;
        let allowed = cors.preflight(page, head.asked_method, head.asked_fields, &mut scratch.added);
        if allowed { Ok(Decision::Own(OwnAnswer::preflight())) } else { Err(refusal::preflight()) }
    }

    fn wants_websocket(&self, route: &Route) -> Result<bool, Refusal> {
        let Some(protocol) = self.head.upgrade else { return Ok(false) };
        if !protocol.eq_ignore_ascii_case(b"websocket") {
            return Err(refusal::upgrade(
                "websocket is the only protocol that a connection may change to here",
            ));
        }
        if !route.settings.websocket {
            return Err(refusal::upgrade("this route does not become a WebSocket"));
        }
        if self.head.method != Method::Get || self.head.old {
            return Err(refusal::head(HeadFault::Malformed));
        }
        Ok(true)
    }
}
