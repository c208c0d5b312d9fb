use std::{borrow::Cow, io::Write};

use bytes::Bytes;
use common::http::{ProbeAnswer, RenderedProblem};

use super::{request::write_field, worker::Shared};
use crate::{api::Static, policy::SECURITY_HEADERS};

/// What the gateway answers by itself.
#[derive(Clone, Debug)]
pub struct OwnAnswer {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Bytes,
    /// What the answer is called in metrics.
    label: &'static str,
}

impl OwnAnswer {
    /// The answer to `path`, if the gateway has one of its own.
    pub fn to(path: &str, shared: &Shared) -> Option<Self> {
        let label = match path {
            "/health/live" => "/health/live",
            "/health/ready" => "/health/ready",
            _ if !path.starts_with("/api/") => return None,
            _ => {
                let Static { status, content_type, body, headers } = shared.api.answer(path)?;
                let headers = headers.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
                return Some(Self { status, content_type, headers, body, label: "/api/docs" });
            }
        };
        let ProbeAnswer { status, retry_after, body } = shared.probes.answer(path)?;
        let retry_after = retry_after.map(|seconds| ("retry-after", Cow::Owned(seconds.to_string())));
        let headers = retry_after.into_iter().collect();
        Some(Self { status, content_type: "application/json", headers, body: body.into(), label })
    }

    /// Says that a page may ask what it wants to ask.
    pub fn preflight() -> Self {
        Self { status: 204, content_type: "", headers: Vec::new(), body: Bytes::new(), label: "preflight" }
    }

    /// What a refused request is told.
    pub fn problem(problem: RenderedProblem) -> Self {
        let RenderedProblem { status, headers, body } = problem;
        let headers = headers.into_iter().filter(|(name, _)| *name != "content-type");
        let headers = headers.map(|(name, value)| (name, Cow::Owned(value))).collect();
        let content_type = "application/problem+json";
        Self { status, content_type, headers, body: body.into(), label: "" }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What it is called in metrics.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Appends the whole answer.
    pub fn write(&self, to: OwnRecipient<'_>, out: &mut Vec<u8>) {
        let reason =
            common::http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        // Writing to memory does not fail.
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", self.status, reason.unwrap_or_default());
        if !self.content_type.is_empty() {
            write_field("content-type", self.content_type.as_bytes(), out);
        }
        for (name, value) in &self.headers {
            write_field(name, value.as_bytes(), out);
        }
        // What is public to read anyway says for itself how it is to be treated.
        if self.label != "/api/docs" {
            out.extend_from_slice(SECURITY_HEADERS);
        }
        write_field("date", to.date, out);
        out.extend_from_slice(to.added);
        if self.status != 204 {
            let _ = write!(out, "content-length: {}\r\n", self.body.len());
        }
        if !to.keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        } else if to.old {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !to.is_head {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Whom an answer of the gateway's own is for.
#[derive(Clone, Copy, Debug)]
pub struct OwnRecipient<'a> {
    pub old: bool,
    pub is_head: bool,
    pub keep_alive: bool,
    /// Whole lines that every answer to this request gets.
    pub added: &'a [u8],
    pub date: &'a [u8],
}
