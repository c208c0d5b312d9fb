use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What came of one attempt to place an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered 201, with this id.
    Accepted(String),
    /// It was answered that nothing was stored, or never reached anybody.
    Refused,
    /// No answer came, or one that says that nobody knows. Asking again with the same key decides it.
    Unknown,
}

impl Outcome {
    /// Reads an answer. A 500 or a gateway's 502 or 504 leaves open what the service did; a 503 says that it did nothing.
    pub fn of_answer(status: u16, body: &[u8]) -> Self {
        match status {
            201 => {
                let order: Value = serde_json::from_slice(body).unwrap_or_default();
                order["id"].as_str().map_or(Self::Unknown, |id| Self::Accepted(id.to_owned()))
            }
            503 | 400..500 => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// What is known of every order that was asked for, by its number.
#[derive(Debug, Default)]
pub struct Tally {
    /// `None` while its first answer is waited for.
    outcomes: Vec<Option<Outcome>>,
    accepted: usize,
    refused: usize,
    unknown_at_first: usize,
}

impl Tally {
    /// Begins another order; returns its number.
    pub fn begin(&mut self) -> usize {
        self.outcomes.push(None);
        self.outcomes.len() - 1
    }

    /// Notes what came of an order, the first time or when it was asked for again. Once it is decided it stays so.
    pub fn settle(&mut self, number: usize, outcome: Outcome) {
        let known = &mut self.outcomes[number];
        match (known.as_ref(), &outcome) {
            (Some(Outcome::Accepted(_) | Outcome::Refused), _) => return,
            (Some(Outcome::Unknown), Outcome::Unknown) => return,
            // That it is refused now says nothing of the time before.
            (Some(Outcome::Unknown), Outcome::Refused) => return,
            (None, Outcome::Unknown) => self.unknown_at_first += 1,
            (_, Outcome::Accepted(_)) => self.accepted += 1,
            (None, Outcome::Refused) => self.refused += 1,
        }
        *known = Some(outcome);
    }

    /// How many were accepted.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// Of how many no answer came at first.
    pub fn unknown_at_first(&self) -> usize {
        self.unknown_at_first
    }

    /// The numbers of those of which nobody knows yet.
    pub fn undecided(&self) -> Vec<usize> {
        let all = self.outcomes.iter().enumerate();
        let open = all.filter(|(_, outcome)| matches!(outcome, None | Some(Outcome::Unknown)));
        open.map(|(number, _)| number).collect()
    }

    /// The ids of the accepted ones.
    pub fn ids(&self) -> BTreeSet<&str> {
        self.accepted_ids().collect()
    }

    /// How many orders were given an id that another one has.
    pub fn shared_ids(&self) -> usize {
        let mut times = BTreeMap::<&str, usize>::new();
        self.accepted_ids().for_each(|id| *times.entry(id).or_default() += 1);
        times.values().map(|times| times - 1).sum()
    }

    fn accepted_ids(&self) -> impl Iterator<Item = &str> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Some(Outcome::Accepted(id)) => Some(id.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_says_so_decides() {
        for (status, body, outcome) in [
            (201, r#"{"id":"o1"}"#, Outcome::Accepted("o1".to_owned())),
            (201, "{", Outcome::Unknown),
            (200, r#"{"id":"o1"}"#, Outcome::Unknown),
            (503, "", Outcome::Refused),
            (429, "", Outcome::Refused),
            (500, "", Outcome::Unknown),
            (502, "", Outcome::Unknown),
            (504, "", Outcome::Unknown),
        ] {
            assert_eq!(Outcome::of_answer(status, body.as_bytes()), outcome, "{status} {body}");
        }
    }

    #[test]
    fn what_is_unknown_is_decided_by_an_acceptance_alone_and_then_for_ever() {
        let mut tally = Tally::default();
        let (first, second, third) = (tally.begin(), tally.begin(), tally.begin());
        tally.settle(first, Outcome::Unknown);
        tally.settle(second, Outcome::Refused);
        assert_eq!(tally.undecided(), [first, third]);

        tally.settle(first, Outcome::Refused);
        assert_eq!(tally.undecided(), [first, third], "refused now is not refused then");
        tally.settle(first, Outcome::Accepted("o1".to_owned()));
        tally.settle(first, Outcome::Unknown);
        tally.settle(third, Outcome::Accepted("o1".to_owned()));

        assert_eq!((tally.accepted(), tally.refused(), tally.unknown_at_first()), (2, 1, 1));
        assert_eq!((tally.ids().len(), tally.shared_ids()), (1, 1));
        assert!(tally.undecided().is_empty());
    }
}
