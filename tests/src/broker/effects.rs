//! What a tester's rules do wrong, at the moments that the rest of the broker passes through.

use super::channel::Seat;
use super::connection::{ConnectionId, Link, crash};
use super::core::Broker;
use super::faults::{Effect, Moment, Occasion};
use super::refusal::Refusal;

/// What is known where nothing is.
pub(super) const NOTHING: Occasion<'_> =
    Occasion { moment: Moment::Method, connection: "", queue: "", exchange: "", routing_key: "", method: "" };

impl Broker {
    /// What a tester wants to happen on this occasion.
    pub(super) fn meet(&mut self, id: ConnectionId, occasion: Occasion<'_>) -> Option<Effect> {
        if self.rules.is_empty() {
            return None;
        }
        let name = self.connections.get(&id).map(|connection| connection.name.clone());
        self.rules.meet(&Occasion { connection: name.as_deref().unwrap_or_default(), ..occasion })
    }

    /// Has an effect before something is done; whether it is to be done all the same, be it unheard.
    pub(super) fn before(&mut self, effect: &Effect, id: ConnectionId, channel: u16) -> bool {
        match effect {
            Effect::Crash => crash(),
            Effect::Drop => self.leave(id),
            Effect::CloseChannel { code, text } => {
                self.close_channel(id, channel, (0, 0), &Refusal::ordered(*code, text.clone()));
            }
            Effect::Hold => {
                self.on_link(id, |link| link.hold(true));
                return true;
            }
            Effect::Silence => {
                self.on_link(id, |link| link.silence(true));
                return true;
            }
            _ => return true,
        }
        false
    }

    /// Has an effect after something was done, once what was said about it has left.
    pub(super) fn after(&mut self, effect: &Effect, id: ConnectionId, channel: u16) {
        if *effect == Effect::Crash {
            self.on_link(id, |link| link.outbox.crash_once_said());
        } else {
            self.before(effect, id, channel);
        }
    }

    /// An acknowledgement is on disk.
    pub(super) fn after_acknowledgement(&mut self, seat: Seat, queue: &str) {
        let occasion = Occasion { moment: Moment::AckStored, queue, ..NOTHING };
        if let Some(effect) = self.meet(seat.connection, occasion) {
            match effect {
                // It need not be said to anybody, who may also be gone.
                Effect::Crash => crash(),
                effect => self.after(&effect, seat.connection, seat.channel),
            }
        }
    }

    pub(super) fn on_link(&self, id: ConnectionId, act: impl FnOnce(&Link)) {
        if let Some(connection) = self.connections.get(&id) {
            act(&connection.link);
        }
    }
}
