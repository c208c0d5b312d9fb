//! Which metrics a PromQL expression asks for.

use std::collections::BTreeSet;

/// Words of the language that may stand where a metric's name could; functions are known by their parenthesis.
const WORDS: [&str; 11] =
    ["and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count", "quantile"];

/// Words that are followed by labels in parentheses.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The names of all metrics that `expression` asks for, also by `__name__=~"(a|b)_c"`.
///
/// # Panics
///
/// Where a parenthesis, brace or quote is not closed.
pub fn metrics_in(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '{' => {
                let (matchers, after) = enclosed(rest, '}');
                names.extend(matched_names(matchers));
                after
            }
            '[' => enclosed(rest, ']').1,
            '"' | '\'' => enclosed(rest, first).1,
            letter if letter.is_ascii_alphabetic() || letter == '_' => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                let calls = after.trim_start().starts_with('(');
                if calls && GROUPINGS.contains(&word) {
                    enclosed(after.trim_start(), ')').1
                } else {
                    if !calls && !WORDS.contains(&word) {
                        names.insert(word.to_owned());
                    }
                    after
                }
            }
            // A number may end in a letter: `1e3`, `5m`.
            digit if digit.is_ascii_digit() => {
                rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.')
            }
            other => &rest[other.len_utf8()..],
        };
    }
    names
}

/// What is between the first character and the next `end` that stands in no quotes, and what follows.
fn enclosed(text: &str, end: char) -> (&str, &str) {
    let inside = &text[1..];
    let mut quoted = false;
    for (at, character) in inside.char_indices() {
        if character == end && !quoted {
            return (&inside[..at], &inside[at + end.len_utf8()..]);
        }
        quoted ^= character == '"';
    }
    panic!("no {end} in {text}")
}

/// The names that matchers such as `__name__=~"(a|b)_c", d="e"` let through.
fn matched_names(matchers: &str) -> Vec<String> {
    let Some((_, pattern)) = matchers.split_once("__name__=") else { return Vec::new() };
    let pattern = pattern.trim_start_matches('~').strip_prefix('"').expect("a name is in quotes");
    let pattern = pattern.split('"').next().expect("a pattern");
    match pattern.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((heads, tail)) => heads.split('|').map(|head| format!("{head}{tail}")).collect(),
        None => vec![pattern.to_owned()],
    }
}
