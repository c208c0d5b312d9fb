//! Reads the key=value pairs that our messages are made of.

/// The value of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// It stood in quotes, and was written by `{:?}`; this is what was between them, without the escapes.
    Quoted(String),
    /// It stood there as it is.
    Bare(String),
}

/// Reads `message` as pairs; `None` where it is no such message. A bare value goes on until the next pair begins, so
/// that nothing of a message is lost whose writer forgot the quotes.
pub(super) fn read(message: &str) -> Option<Vec<(&str, Value)>> {
    let mut pairs = Vec::new();
    let mut rest = message.trim_end();
    while !rest.is_empty() {
        let (key, after) = split_key(rest)?;
        let (value, after) = split_value(after);
        pairs.push((key, value));
        rest = after;
    }
    (!pairs.is_empty()).then_some(pairs)
}

/// Splits off `key=`.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let (key, rest) = text.split_once('=')?;
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let is_key = key.starts_with(|first: char| first.is_ascii_alphabetic()) && key.bytes().all(letters);
    is_key.then_some((key, rest))
}

/// Splits off a value and the space after it.
fn split_value(text: &str) -> (Value, &str) {
    if let Some((value, rest)) = text.strip_prefix('"').and_then(unquote) {
        // Anything else after the quote means that it was part of the value.
        if let Some(rest) = after_space(rest) {
            return (Value::Quoted(value), rest);
        }
    }
    let mut in_quotes = false;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            ' ' if !in_quotes && split_key(&text[at + 1..]).is_some() => {
                return (Value::Bare(text[..at].to_owned()), &text[at + 1..]);
            }
            _ => {}
        }
    }
    (Value::Bare(text.to_owned()), "")
}

fn after_space(rest: &str) -> Option<&str> {
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// Undoes what `{:?}` does to a text, up to the closing quote; returns what follows as well.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::with_capacity(text.len());
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                '0' => value.push('\0'),
                'u' => {
                    let digits = text[at..].strip_prefix("\\u{")?.split_once('}')?.0;
                    value.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?);
                    characters.nth(digits.len() + 1)?;
                }
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bare(text: &str) -> Value {
        Value::Bare(text.to_owned())
    }

    fn quoted(text: &str) -> Value {
        Value::Quoted(text.to_owned())
    }

    #[test]
    fn pairs_are_read_with_and_without_quotes() {
        let pairs =
            read(r#"event=restart actor=broker generation=1 cause="lost: connection reset" empty="""#);

        let expected = [
            ("event", bare("restart")),
            ("actor", bare("broker")),
            ("generation", bare("1")),
            ("cause", quoted("lost: connection reset")),
            ("empty", quoted("")),
        ];
        assert_eq!(pairs.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn a_value_that_is_no_text_is_kept_whole() {
        let pairs =
            read(r#"event=not_forwarded outcome=Unknown("the link=1 ended") health=Away(5 s, "x") n=2"#);

        let expected = [
            ("event", bare("not_forwarded")),
            ("outcome", bare(r#"Unknown("the link=1 ended")"#)),
            ("health", bare(r#"Away(5 s, "x")"#)),
            ("n", bare("2")),
        ];
        assert_eq!(pairs.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn what_is_no_pairs_is_said_to_be_none() {
        for message in ["", "starting 2 workers", "a + b=c", "=x", "7=x", "\"event\"=x"] {
            assert_eq!(read(message), None, "{message}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_comes_out_as_it_went_in(text in "\\PC*|.*|[\\x00-\\x7f]*", other in ".*") {
            let message = format!("event=x cause={text:?} more={other:?} n=1");

            let pairs = read(&message).expect("these are pairs");

            prop_assert_eq!(pairs.len(), 4);
            prop_assert_eq!(&pairs[1], &("cause", quoted(&text)));
            prop_assert_eq!(&pairs[2], &("more", quoted(&other)));
        }

        #[test]
        fn no_message_is_too_odd_to_be_read(message in ".*") {
            let _ = read(&message);
        }
    }
}
