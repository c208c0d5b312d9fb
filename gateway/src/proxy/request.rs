//! The head that a service gets, by RFC 9110 section 7.6. Pure.
//!
//! What concerns one connection alone stops here; so does everything by which a client could say who it is,
//! for only gateways may say that.

use std::{net::IpAddr, time::Duration};

use common::telemetry::trace::TraceContext;

use super::{cookies::write_cookies, origin::Origin};
use crate::{
    http1::{BodyLength, Field, FieldName, RequestHead, write_decimal},
    settings::Networks,
};

/// How the gateway signs what came as HTTP/1.1 (RFC 9110 section 7.6.3).
pub const VIA: &[u8] = b"via: 1.1 warren\r\n";

/// How it signs what came as HTTP/1.0.
pub const VIA_OLD: &[u8] = b"via: 1.0 warren\r\n";

/// Who sent a request, as far as the gateway knows.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether its `X-Forwarded-*` are believed.
    pub trusted: bool,
}

impl Sender {
    /// Returns the address for which the request is: the last one in `X-Forwarded-For` that is no trusted
    /// proxy, where the peer is one.
    pub fn client(&self, fields: &[Field<'_>], trusted: &Networks) -> IpAddr {
        if !self.trusted {
            return self.peer;
        }
        let chain = fields.iter().rev().filter(|field| FieldName::of(field.name) == FieldName::ForwardedFor);
        let mut addresses = chain.flat_map(|field| field.value.rsplit(|&byte| byte == b','));
        let mut client = self.peer;
        while let Some(address) = addresses.next().and_then(parse_address) {
            client = address;
            if !trusted.contain(address) {
                break;
            }
        }
        client
    }
}

fn parse_address(raw: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(raw).ok()?.trim().parse().ok()
}

/// Appends the fields that any endpoint gets: the client's, without what stops here, and the gateway's own.
/// `peer` is the sender's address as text, `identity` are whole lines; with `websocket` the service is asked to change the protocol.
pub fn write_fields(
    head: &RequestHead<'_, '_>,
    (sender, peer): (Sender, &str),
    origin: &Origin,
    identity: &[u8],
    websocket: bool,
    out: &mut Vec<u8>,
) {
    let (mut said_host, mut said_proto) = (None, None);
    out.extend_from_slice(b"x-forwarded-for: ");
    for field in head.fields {
        match FieldName::of(field.name) {
            FieldName::ForwardedFor if sender.trusted => {
                out.extend_from_slice(field.value);
                out.extend_from_slice(b", ");
            }
            FieldName::ForwardedHost => said_host = Some(field.value),
            FieldName::ForwardedProto if matches!(field.value, b"http" | b"https") => {
                said_proto = Some(field.value);
            }
            _ => {}
        }
    }
    out.extend_from_slice(peer.as_bytes());
    out.extend_from_slice(b"\r\n");
    let host = said_host.filter(|_| sender.trusted).unwrap_or(head.host);
    if !host.is_empty() {
        write_field("x-forwarded-host", host, out);
    }
    write_field("x-forwarded-proto", said_proto.filter(|_| sender.trusted).unwrap_or(b"http"), out);
    for field in head.fields {
        match FieldName::of(field.name) {
            name if !passes(head, name, field) => {}
            FieldName::Cookie => write_cookies(field.name, field.value, out),
            _ => write_field(field.name, field.value, out),
        }
    }
    out.extend_from_slice(if head.old { VIA_OLD } else { VIA });
    origin.write_to(out);
    out.extend_from_slice(identity);
    match head.length {
        BodyLength::None => {}
        BodyLength::Known(length) => {
            out.extend_from_slice(b"content-length: ");
            write_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    }
}

/// Appends the rest of a head, which differs from endpoint to endpoint and from try to try, in front of `fields`; `left` is
/// how long the answer is waited for, `trace` the span of this try.
pub fn write_head(
    method: &str,
    base_path: &str,
    asked: &str,
    authority: &str,
    (left, trace): (Duration, TraceContext),
    fields: &[u8],
    out: &mut Vec<u8>,
) {
    for part in [method, " ", base_path, asked, " HTTP/1.1\r\nhost: ", authority, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"x-request-timeout-ms: ");
    write_decimal(u64::try_from(left.as_millis()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(b"\r\ntraceparent: ");
    trace.write_to(out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(fields);
    out.extend_from_slice(b"\r\n");
}

/// Whether a client's field goes to the service.
fn passes(head: &RequestHead<'_, '_>, name: FieldName, field: &Field<'_>) -> bool {
    match name {
        FieldName::Host
        | FieldName::Connection
        | FieldName::HopByHop
        | FieldName::TransferEncoding
        | FieldName::ContentLength
        | FieldName::Upgrade
        | FieldName::Expect
        | FieldName::AboutTheSender
        | FieldName::ForwardedFor
        | FieldName::ForwardedHost
        | FieldName::ForwardedProto
        | FieldName::Internal
        | FieldName::RequestId
        | FieldName::Traceparent => false,
        // It belongs to a trace that nobody named.
        FieldName::Tracestate if head.traceparent.is_none() => false,
        // Some servers take an underscore for a dash: `X_Forwarded_For` would pass for what stops here.
        FieldName::Other if field.name.contains('_') => false,
        _ => !head.nominates(field.name),
    }
}

pub(super) fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
