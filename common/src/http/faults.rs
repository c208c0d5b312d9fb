//! Faults that are asked for over HTTP, of the link to the broker and of the process. Only with `DEMO_FAULTS`.

use std::{thread, time::Duration};

use actix_web::{HttpResponse, http::StatusCode, web};
use rustix::process::{Signal, getpid, kill_process};
use serde::Deserialize;

use super::{
    NoTraffic, Problem,
    keeper::{KEEPER, keeper},
    operator_body::OperatorBody,
};
use crate::{
    broker::{LinkFault, LinkFaults},
    timeline::{IncidentKind, Timeline},
};

/// Nobody waits for the end of a longer one.
const LONGEST_MS: u64 = 60_000;

/// How long the answer has to leave before the process is killed.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Adds `POST /process/fault` and, where there is a link, `POST /link/fault`; what is asked for is noted in `timeline`.
pub(super) fn configure(routes: &mut web::ServiceConfig, link: Option<LinkFaults>, timeline: &Timeline) {
    let noted = timeline.clone();
    routes.service(web::resource("/process/fault").app_data(NoTraffic).post(
        move |body: OperatorBody<ProcessFaultRequest>| {
            let timeline = noted.clone();
            async move { strike(&body.value, &timeline) }
        },
    ));
    if let Some(link) = link {
        let noted = timeline.clone();
        routes.service(web::resource("/link/fault").app_data(NoTraffic).post(
            move |body: OperatorBody<LinkFaultRequest>| {
                let (link, timeline) = (link.clone(), noted.clone());
                async move { inject(&link, &body.value, &timeline) }
            },
        ));
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum LinkFaultRequest {
    Cut { ms: u64 },
    Block { ms: u64 },
}

/// Replies as soon as the link knows.
fn inject(
    link: &LinkFaults,
    request: &LinkFaultRequest,
    timeline: &Timeline,
) -> Result<HttpResponse, Problem> {
    let (fault, ms) = match *request {
        LinkFaultRequest::Cut { ms } => (LinkFault::Cut, ms),
        LinkFaultRequest::Block { ms } => (LinkFault::Block, ms),
    };
    if !(1..=LONGEST_MS).contains(&ms) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid body")
            .detail(format!("ms: a fault of the link lasts from 1 to {LONGEST_MS} ms, and not {ms}")));
    }
    log::warn!("event=fault_requested link=broker fault={fault} ms={ms}");
    timeline.note(IncidentKind::Operator, "link", &format!("{fault} for {ms} ms, on request"));
    link.inject(fault, Duration::from_millis(ms));
    Ok(HttpResponse::Accepted().finish())
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum ProcessFaultRequest {
    Kill,
}

/// Replies, and then kills this process as hard as the kernel can.
fn strike(
    ProcessFaultRequest::Kill: &ProcessFaultRequest,
    timeline: &Timeline,
) -> Result<HttpResponse, Problem> {
    if keeper().is_none() {
        return Err(Problem::new(StatusCode::CONFLICT, "nobody to start it again").detail(format!(
            "nothing is known to start this process again when it dies; whatever does sets {KEEPER} to its name, as `cargo up` \
             does"
        )));
    }
    log::warn!("event=fault_requested process={} fault=kill", getpid());
    timeline.note(IncidentKind::Operator, "process", "killed, on request");
    thread::spawn(|| {
        thread::sleep(LAST_WORDS);
        if let Err(error) = kill_process(getpid(), Signal::KILL) {
            log::error!("event=not_killed error={:?}", error.to_string());
        }
    });
    Ok(HttpResponse::Accepted().finish())
}
