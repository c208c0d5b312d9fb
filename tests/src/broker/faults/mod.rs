//! Faults on demand: what the embedded broker is told to do wrong, now or at an exact moment.
//!
//! An [`Order`] is carried out at once. A [`Rule`] waits for its [`Moment`], lets so many occasions pass, and has its
//! [`Effect`] then, so that a test meets the nth publish between disk and confirm by name and not by luck. Orders come
//! through the control socket, one line of JSON each: [`serve`] is the broker's end, [`Control`] the other.

mod order;
pub use order::{Order, Selection};

mod rule;
pub use rule::{Effect, Moment, Rule};

mod rules;
pub use rules::{Fired, Occasion, Rules};

mod answer;
pub use answer::Answer;

mod socket;
pub use socket::{listen, serve, socket_in};

mod control;
pub use control::{Control, ControlError};
