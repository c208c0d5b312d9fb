//! The effect of a rule as it is written on the command line: its name, and behind colons what it needs.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::broker::faults::{Effect, Moment};
use crate::duration;

const POSSIBLE: &str = "drop, hold, silence, crash, nack, return, delay:200ms, reorder:5, twice, cancel or \
                        close-channel:406:TEXT";

/// Reads an effect, for clap.
pub(super) fn parse(text: &str) -> Result<Effect, String> {
    let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let effect = match (name, rest) {
        ("drop", None) => Effect::Drop,
        ("hold", None) => Effect::Hold,
        ("silence", None) => Effect::Silence,
        ("crash", None) => Effect::Crash,
        ("nack", None) => Effect::Nack,
        ("return", None) => Effect::Return,
        ("twice", None) => Effect::Twice,
        ("cancel", None) => Effect::Cancel,
        ("delay", Some(delay)) => Effect::Delay { ms: duration::parse(delay)?.as_millis() as u64 },
        ("reorder", Some(count)) => Effect::Reorder {
            count: count.parse().map_err(|_| format!("needs a number behind reorder:, not {count:?}"))?,
        },
        ("close-channel", Some(rest)) => {
            let (code, text) = rest.split_once(':').unwrap_or((rest, "on demand"));
            let code = code.parse().map_err(|_| format!("needs a reply code such as 406, not {code:?}"))?;
            Effect::CloseChannel { code, text: text.into() }
        }
        _ => return Err(format!("is none of {POSSIBLE}")),
    };
    Ok(effect)
}

impl ValueEnum for Moment {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_its_name_and_what_it_needs() {
        assert_eq!(parse("drop"), Ok(Effect::Drop));
        assert_eq!(parse("delay:2s"), Ok(Effect::Delay { ms: 2_000 }));
        assert_eq!(parse("reorder:5"), Ok(Effect::Reorder { count: 5 }));
        let text = "PRECONDITION_FAILED: so".to_owned();
        assert_eq!(parse(&format!("close-channel:406:{text}")), Ok(Effect::CloseChannel { code: 406, text }));
        for text in ["", "dorp", "delay", "drop:1", "delay:5", "reorder:x", "close-channel:99999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
