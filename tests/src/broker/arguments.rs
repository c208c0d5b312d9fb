//! stub
#![allow(missing_docs)]
use super::refusal::Refusal;
use amq_protocol::protocol::{exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use serde::{Deserialize, Serialize};
use std::time::Duration;
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueKind {
    Classic,
    Quorum,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    DropHead,
    RejectPublish,
    RejectPublishDlx,
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub exchange: String,
    pub routing_key: Option<String>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueOptions {
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub kind: QueueKind,
    pub message_ttl: Option<Duration>,
    pub expires: Option<Duration>,
    pub max_length: Option<u64>,
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    pub dead_letter: Option<DeadLetter>,
    pub delivery_limit: Option<u32>,
    pub arguments: FieldTable,
}
impl QueueOptions {
    pub fn parse(
        _n: &str,
        _v: &str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        a: &FieldTable,
    ) -> Result<Self, Refusal> {
        let num = |n: &str| match a.inner().get(n) {
            Some(AMQPValue::LongLongInt(x)) => Some(*x as u64),
            Some(AMQPValue::LongInt(x)) => Some(*x as u64),
            _ => None,
        };
        let txt = |n: &str| match a.inner().get(n) {
            Some(AMQPValue::LongString(x)) => Some(x.to_string()),
            _ => None,
        };
        Ok(Self {
            durable,
            exclusive,
            auto_delete,
            kind: if txt("x-queue-type").as_deref() == Some("quorum") {
                QueueKind::Quorum
            } else {
                QueueKind::Classic
            },
            message_ttl: num("x-message-ttl").map(Duration::from_millis),
            expires: num("x-expires").map(Duration::from_millis),
            max_length: num("x-max-length"),
            max_length_bytes: num("x-max-length-bytes"),
            overflow: match txt("x-overflow").as_deref() {
                Some("reject-publish") => Overflow::RejectPublish,
                Some("reject-publish-dlx") => Overflow::RejectPublishDlx,
                _ => Overflow::DropHead,
            },
            dead_letter: txt("x-dead-letter-exchange")
                .map(|exchange| DeadLetter { exchange, routing_key: txt("x-dead-letter-routing-key") }),
            delivery_limit: num("x-delivery-limit").map(|x| x as u32),
            arguments: a.clone(),
        })
    }
    pub fn check_equivalent(&self, _o: &Self, _n: &str, _v: &str) -> Result<(), Refusal> {
        Ok(())
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExchangeOptions {
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: FieldTable,
}
impl ExchangeOptions {
    pub fn parse(d: &exchange::Declare, _v: &str) -> Result<Self, Refusal> {
        Ok(Self {
            kind: match d.kind.as_str() {
                "fanout" => ExchangeKind::Fanout,
                "topic" => ExchangeKind::Topic,
                _ => ExchangeKind::Direct,
            },
            durable: d.durable,
            auto_delete: d.auto_delete,
            internal: d.internal,
            arguments: d.arguments.clone(),
        })
    }
}
impl QueueOptions {
    pub fn parse_declare(d: &queue::Declare, v: &str) -> Result<Self, Refusal> {
        Self::parse(d.queue.as_str(), v, d.durable, d.exclusive, d.auto_delete, &d.arguments)
    }
}
