//! Text that may be shown in a terminal.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer};

/// Nothing that is shown is longer, in characters.
const LONGEST: usize = 500;

/// Text without characters that a terminal obeys instead of showing: a cause or a name may come from anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Plain(String);

impl Plain {
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(LONGEST).map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect())
    }
}

/// Whether a character moves, colours, hides or turns around what is beside it.
pub(crate) fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl Deref for Plain {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_unreadable() {
        let hostile = "a\x1b[2J\u{9b}31m\r\n\tb\u{202e}c\u{200b}\u{feff}";

        assert_eq!(
            &*Plain::new(hostile),
            "a\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}"
        );
        assert_eq!(&*Plain::new("ordinary, größer, 注文"), "ordinary, größer, 注文");
    }

    #[test]
    fn no_text_is_endless() {
        assert_eq!(Plain::new(&"x".repeat(10_000)).len(), LONGEST);
    }
}
