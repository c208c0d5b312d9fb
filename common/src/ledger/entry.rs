use std::{borrow::Cow, sync::LazyLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    broker::Delivery,
    event::{Envelope, EventId},
    journal::cut,
};

/// What can happen to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepKind {
    /// The request that caused it came in.
    Accepted,
    /// It is on disk, in the outbox, together with what it tells of.
    Committed,
    /// It was handed to the broker.
    Published,
    /// The broker has it, in every queue that it was routed to.
    Confirmed,
    /// No queue wants it.
    Unroutable,
    /// The broker could not take it.
    Refused,
    /// Nobody knows whether the broker has it; it is published again.
    Unknown,
    /// It came from a queue.
    Delivered,
    /// Its effect and the note that it was seen are on disk, in one commit.
    Applied,
    /// It had been applied before, and was not again.
    SeenBefore,
    /// It cannot be applied yet.
    NotYet,
    /// It can never be applied.
    Rejected,
    /// The broker was told that it is done with.
    Acked,
    /// It went to a retry queue, and was acknowledged.
    Retried,
    /// It went to the dead letters, and was acknowledged.
    Dead,
}

/// One line of a ledger. The event's id comes first, where a search finds it without reading the rest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) event: EventId,
    pub(super) step: StepKind,
    pub(super) at: Timestamp,
    pub(super) pid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) queue: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redelivered: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Only where it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Box<Beginning>>,
}

/// What is known of an event from its beginning.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Beginning {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) source: String,
    pub(super) about: Vec<String>,
    pub(super) request_id: String,
    pub(super) trace_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accepted_at: Option<Timestamp>,
}

/// Longest reason, in bytes.
const REASON: usize = 500;

static PID: LazyLock<u32> = LazyLock::new(std::process::id);

impl Entry {
    pub(super) fn of_event(step: StepKind, event: EventId, at: Timestamp) -> Self {
        Self {
            event,
            step,
            at,
            pid: *PID,
            actor: None,
            generation: None,
            queue: None,
            attempt: None,
            redelivered: None,
            reason: None,
            origin: None,
        }
    }

    /// A step of the broker actor.
    pub(super) fn of_link(step: StepKind, event: EventId, at: Timestamp, generation: u64) -> Self {
        let actor = Some(Cow::Borrowed("broker"));
        Self { actor, generation: Some(generation), ..Self::of_event(step, event, at) }
    }

    pub(super) fn committed(envelope: Envelope, at: Timestamp) -> Self {
        let Envelope { id, event_type, source, about, origin, .. } = envelope;
        let beginning = Beginning {
            event_type,
            source,
            about,
            request_id: origin.request_id.as_str().to_owned(),
            trace_id: origin.traceparent.trace_id(),
            accepted_at: origin.accepted_at,
        };
        let entry = Self::of_event(StepKind::Committed, id, at);
        Self { actor: Some(Cow::Borrowed("repository")), origin: Some(Box::new(beginning)), ..entry }
    }

    /// Says why; a reason may hold what a stranger wrote.
    pub(super) fn because(self, reason: Option<String>) -> Self {
        Self { reason: reason.map(|reason| cut(&reason, REASON)), ..self }
    }

    pub(super) fn in_queue(self, delivery: &Delivery) -> Self {
        Self { queue: Some(Cow::Borrowed(delivery.queue)), attempt: Some(delivery.attempt), ..self }
    }
}

/// An event and the steps of its way that a service took part in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEvent {
    /// Its id.
    pub id: EventId,
    /// Its type; `None` where this service was not its beginning, like the four that follow.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// The service that published it.
    pub source: Option<String>,
    /// The resources that it is about.
    pub about: Vec<String>,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// The trace of that request.
    pub trace_id: Option<String>,
    /// What happened to it, oldest first.
    pub steps: Vec<Step>,
}

/// Something that happened to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What.
    pub step: StepKind,
    /// When.
    pub at: Timestamp,
    /// In which service.
    pub service: String,
    /// In which process of it.
    pub pid: u32,
    /// By which actor.
    pub actor: Option<String>,
    /// By which generation of it.
    pub generation: Option<u64>,
    /// Through which queue.
    pub queue: Option<String>,
    /// At which attempt; the retry queues count.
    pub attempt: Option<u32>,
    /// Whether the broker said that it may have delivered it before.
    pub redelivered: Option<bool>,
    /// Why.
    pub reason: Option<String>,
}
