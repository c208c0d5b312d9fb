//! What every Warren service is built from, and nothing that knows a user or an order.
//!
//! Read the rooms in the order below: how a service is told what to be ([`config`]), how it says what it
//! does ([`telemetry`]), how its actors are kept alive ([`supervision`]), what they tell each other across
//! services ([`event`]), where they keep it ([`store`]), who asks ([`auth`]), how it travels ([`broker`], [`relay`], [`consumer`]),
//! how the world talks to it ([`http`]), and how all that starts and stops as one process ([`service`]).

pub mod config;

pub mod telemetry;

pub mod backoff;
pub mod journal;
pub mod supervision;
pub mod timeline;

pub mod event;
pub mod ledger;

pub mod store;

pub mod auth;

pub mod broker;
pub mod consumer;
pub mod relay;

pub mod http;

pub mod service;
mod stop_time;

#[cfg(test)]
mod test_folder;
