//! How a broker refuses: it closes the channel, or the connection, with a code and a sentence.

use std::fmt;

/// What was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Channel,
    Connection,
}

/// The broker's Channel.Close or Connection.Close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub scope: Scope,
    /// 0 where the connection ended without a word.
    pub code: u16,
    pub text: String,
    /// The class and method that were refused, or zeros.
    pub method: (u16, u16),
}

impl Closed {
    /// The connection ended without a word.
    pub(super) fn silently() -> Self {
        Self { scope: Scope::Connection, code: 0, text: "the broker hung up".into(), method: (0, 0) }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker closed the {:?}: {} {} {:?}", self.scope, self.code, self.text, self.method)
    }
}

/// What a story expects of an answer.
pub trait Answer<T> {
    /// The broker did it.
    fn done(self) -> T;
    /// It closed the channel with this code, and with a sentence that contains `text`.
    fn closes_channel(self, code: u16, text: &str);
    /// It closed the connection with this code, and with a sentence that contains `text`.
    fn closes_connection(self, code: u16, text: &str);
}

impl<T> Answer<T> for Result<T, Closed> {
    #[track_caller]
    fn done(self) -> T {
        self.unwrap_or_else(|closed| panic!("{closed}"))
    }

    #[track_caller]
    fn closes_channel(self, code: u16, text: &str) {
        closes(self.err(), Scope::Channel, code, text);
    }

    #[track_caller]
    fn closes_connection(self, code: u16, text: &str) {
        closes(self.err(), Scope::Connection, code, text);
    }
}

impl Answer<()> for Closed {
    #[track_caller]
    fn done(self) {
        panic!("{self}")
    }

    #[track_caller]
    fn closes_channel(self, code: u16, text: &str) {
        closes(Some(self), Scope::Channel, code, text);
    }

    #[track_caller]
    fn closes_connection(self, code: u16, text: &str) {
        closes(Some(self), Scope::Connection, code, text);
    }
}

#[track_caller]
fn closes(closed: Option<Closed>, scope: Scope, code: u16, text: &str) {
    let closed = closed.unwrap_or_else(|| panic!("the broker did it instead of answering {code} {text}"));
    assert!(
        closed.scope == scope && closed.code == code && closed.text.contains(text),
        "{closed}; expected was: the {scope:?}: {code} …{text}…"
    );
}
