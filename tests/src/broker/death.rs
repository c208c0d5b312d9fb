//! stub
#![allow(missing_docs)]
use super::Message;
use super::arguments::DeadLetter;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Rejected,
    Expired,
    MaxLen,
    DeliveryLimit,
}
pub fn dead_letter(m: &Message, _q: &str, _r: Reason, to: &DeadLetter, _n: std::time::SystemTime) -> Message {
    Message::new(&to.exchange, to.routing_key.as_deref().unwrap_or(m.routing_key()), m.properties(), m.body())
        .unwrap()
}
pub fn is_cycle(_m: &Message, _q: &str, _r: Reason) -> bool {
    false
}
pub fn with_delivery_count(p: &[u8], _c: u32) -> Vec<u8> {
    p.to_vec()
}
