//! The patterns of topic exchanges.

/// A binding's key, in words: `*` is any one word, `#` any number of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<[Word]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Itself(Box<str>),
    One,
    Any,
}

impl Pattern {
    /// Reads a binding's key. A key without `*` and `#` is no pattern: it means only itself.
    pub fn parse(key: &str) -> Option<Self> {
        let words = words(key).map(|word| match word {
            "*" => Word::One,
            "#" => Word::Any,
            word => Word::Itself(word.into()),
        });
        let words: Box<[Word]> = words.collect();
        words.iter().any(|word| !matches!(word, Word::Itself(_))).then_some(Self(words))
    }

    /// Whether a message of this key is meant. Allocates nothing.
    pub fn matches(&self, key: &str) -> bool {
        let mut words = words(key);
        let mut at = 0;
        // What comes behind the last `#`, and the words that it has not taken. Only the last one needs to take more:
        // where those before it end no longer matters once it is reached.
        let mut last_any = None;
        loop {
            if let Some(Word::Any) = self.0.get(at) {
                at += 1;
                last_any = Some((at, words.clone()));
                continue;
            }
            match (self.0.get(at), words.next()) {
                (None, None) => return true,
                (Some(Word::One), Some(_)) => at += 1,
                (Some(Word::Itself(expected)), Some(word)) if **expected == *word => at += 1,
                _ => {
                    let Some((behind, untaken)) = &mut last_any else { return false };
                    if untaken.next().is_none() {
                        return false;
                    }
                    (at, words) = (*behind, untaken.clone());
                }
            }
        }
    }
}

/// The empty key has no words, not one that is empty.
fn words(key: &str) -> impl Iterator<Item = &str> + Clone {
    (!key.is_empty()).then(|| key.split('.')).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the specification words it.
    fn naive(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], _) => naive(rest, key) || (!key.is_empty() && naive(pattern, &key[1..])),
            (["*", rest @ ..], [_, more @ ..]) => naive(rest, more),
            ([word, rest @ ..], [same, more @ ..]) => word == same && naive(rest, more),
            _ => false,
        }
    }

    fn matches(pattern: &str, key: &str) -> bool {
        Pattern::parse(pattern).map_or(pattern == key, |pattern| pattern.matches(key))
    }

    #[test]
    fn a_pattern_matches_what_rabbitmq_matches() {
        let cases = [
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order.*", "order.created.late", false),
            ("order.#", "order", true),
            ("order.#", "order.created.late", true),
            ("#.late", "late", true),
            ("#.late.#", "order.late.late", true),
            ("#", "", true),
            ("*", "", false),
            ("*", ".", false),
            ("*.*", ".", true),
            ("", "", true),
            ("", "order", false),
            ("order.", "order", false),
            // Stars within a word are letters.
            ("ord*", "order", false),
            ("ord*", "ord*", true),
        ];

        for (pattern, key, expected) in cases {
            assert_eq!(matches(pattern, key), expected, "{pattern:?} and {key:?}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_the_specification_words_it(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "*", "#"]), 1..7),
            key in prop::collection::vec(prop::sample::select(vec!["a", "b", ""]), 1..8),
        ) {
            let (pattern, key) = (pattern.join("."), key.join("."));
            let (pattern_words, key_words): (Vec<_>, Vec<_>) = (words(&pattern).collect(), words(&key).collect());

            prop_assert_eq!(
                matches(&pattern, &key),
                naive(&pattern_words, &key_words),
                "{:?} and {:?}", pattern, key
            );
        }
    }
}
