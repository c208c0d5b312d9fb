//! Judges an experiment by what the stores say. What could not be asked is never assumed to be well.

use std::collections::BTreeSet;

use super::{Tally, Verdict};

/// What the stores have of the one user that the orders were placed for.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// The ids in its list of orders, as often as they are there; `None` where the list could not be read to its end.
    pub listed: Option<Vec<String>>,
    /// Of the accepted orders that are not in the list: those that are there when they are asked for by their id.
    pub found: BTreeSet<String>,
    /// Those that could not be asked for.
    pub unasked: usize,
    /// How many orders the user is counted to have; `None` where that could not be asked.
    pub counted: Option<u64>,
}

/// What the audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Orders that were accepted and are not stored, and stored ones that were never counted.
    pub lost: Option<u64>,
    /// Orders that are stored or counted more than once.
    pub doubled: Option<u64>,
    /// In one word.
    pub verdict: Verdict,
    /// What else is to be said.
    pub notes: Vec<String>,
}

/// Compares what was answered with what is stored and counted.
pub fn audit(tally: &Tally, stores: &Stores) -> Findings {
    let mut notes = Vec::new();
    let (accepted, undecided) = (tally.ids(), tally.undecided().len());
    if tally.accepted() == 0 {
        notes.push("no order was accepted, so nothing could be lost".to_owned());
    }
    if undecided > 0 {
        notes.push(format!("of {undecided} orders nobody knows whether they were placed"));
    }
    let mut lost = None;
    let mut doubled = None;
    let mut strangers = 0;
    match &stores.listed {
        None => notes.push("the list of orders could not be read".to_owned()),
        Some(listed) => {
            let listed_once: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
            let found: BTreeSet<&str> = stores.found.iter().map(String::as_str).collect();
            if !found.is_empty() {
                notes.push(format!("{} orders are stored, but not in the list", found.len()));
            }
            let stored: BTreeSet<&str> = listed_once.union(&found).copied().collect();
            strangers = stored.difference(&accepted).count().saturating_sub(undecided);
            if strangers > 0 {
                notes.push(format!("{strangers} orders are stored that were never accepted"));
            }
            let gone = accepted.difference(&stored).count().saturating_sub(stores.unasked);
            if gone > 0 {
                notes.push(format!("{gone} accepted orders are not stored"));
            }
            let twice = listed.len() - listed_once.len() + tally.shared_ids();
            if twice > 0 {
                notes.push(format!("{twice} orders are there twice"));
            }
            if stores.unasked > 0 {
                notes.push(format!("{} orders could not be asked for by their id", stores.unasked));
            }
            match stores.counted {
                None => notes.push("the user's count of orders could not be asked".to_owned()),
                Some(counted) => {
                    let stored = stored.len() as u64;
                    let (uncounted, overcounted) =
                        (stored.saturating_sub(counted), counted.saturating_sub(stored));
                    if uncounted + overcounted > 0 {
                        notes.push(format!("{stored} orders are stored, and {counted} are counted"));
                    }
                    if stores.unasked == 0 {
                        lost = Some(gone as u64 + uncounted);
                    }
                    doubled = Some(twice as u64 + overcounted);
                }
            }
        }
    }
    let found_wrong = lost.is_some_and(|lost| lost > 0) || doubled.is_some_and(|doubled| doubled > 0);
    let verdict = if found_wrong || strangers > 0 {
        Verdict::NotClear
    } else if tally.accepted() == 0 || undecided > 0 || lost.is_none() || doubled.is_none() {
        Verdict::Incomplete
    } else {
        Verdict::Clear
    };
    Findings { lost, doubled, verdict, notes }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Outcome, Verdict::*},
        *,
    };

    /// Three were accepted, one was refused.
    fn tally() -> Tally {
        let mut tally = Tally::default();
        for id in ["o1", "o2", "o3"] {
            let number = tally.begin();
            tally.settle(number, Outcome::Accepted(id.to_owned()));
        }
        let number = tally.begin();
        tally.settle(number, Outcome::Refused);
        tally
    }

    fn stores(listed: &[&str], counted: u64) -> Stores {
        let listed = listed.iter().map(|id| (*id).to_owned()).collect();
        Stores { listed: Some(listed), counted: Some(counted), ..Stores::default() }
    }

    fn judged(tally: &Tally, stores: &Stores) -> (Option<u64>, Option<u64>, Verdict) {
        let Findings { lost, doubled, verdict, notes } = audit(tally, stores);
        assert_eq!(notes.is_empty(), verdict == Clear, "{notes:?}");
        (lost, doubled, verdict)
    }

    #[test]
    fn all_is_clear_where_every_accepted_order_is_stored_and_counted_once() {
        assert_eq!(judged(&tally(), &stores(&["o1", "o2", "o3"], 3)), (Some(0), Some(0), Clear));
    }

    #[test]
    fn a_store_that_has_less_or_more_than_was_accepted_is_found_out() {
        let all = ["o1", "o2", "o3"];
        for (what, stores, expected) in [
            ("an order is gone", stores(&["o1", "o3"], 2), (Some(1), Some(0), NotClear)),
            ("an event was lost", stores(&all, 2), (Some(1), Some(0), NotClear)),
            ("an event was applied twice", stores(&all, 4), (Some(0), Some(1), NotClear)),
            ("gone, but counted", stores(&["o1", "o3"], 3), (Some(1), Some(1), NotClear)),
            (
                "a list with an order twice",
                stores(&["o1", "o2", "o3", "o3"], 3),
                (Some(0), Some(1), NotClear),
            ),
            ("refused, and yet stored", stores(&["o1", "o2", "o3", "o4"], 4), (Some(0), Some(0), NotClear)),
            ("all gone", stores(&[], 0), (Some(3), Some(0), NotClear)),
        ] {
            assert_eq!(judged(&tally(), &stores), expected, "{what}");
        }
    }

    #[test]
    fn one_order_for_two_wishes_is_one_too_few() {
        let mut tally = tally();
        let number = tally.begin();
        tally.settle(number, Outcome::Accepted("o3".to_owned()));

        assert_eq!(judged(&tally, &stores(&["o1", "o2", "o3"], 3)), (Some(0), Some(1), NotClear));
    }

    #[test]
    fn what_could_not_be_asked_is_not_assumed() {
        let all = stores(&["o1", "o2", "o3"], 3);
        let unlisted = Stores { listed: None, ..all.clone() };
        let uncounted = Stores { counted: None, ..all.clone() };
        let unasked = Stores { unasked: 1, ..stores(&["o1", "o2"], 2) };

        assert_eq!(judged(&tally(), &unlisted), (None, None, Incomplete));
        assert_eq!(judged(&tally(), &uncounted), (None, None, Incomplete));
        assert_eq!(judged(&tally(), &unasked), (None, Some(0), Incomplete));
        assert_eq!(judged(&Tally::default(), &stores(&[], 0)), (Some(0), Some(0), Incomplete));
    }

    #[test]
    fn an_order_that_nobody_knows_of_may_be_there_or_not() {
        let mut tally = tally();
        let number = tally.begin();
        tally.settle(number, Outcome::Unknown);

        for stores in [stores(&["o1", "o2", "o3", "o4"], 4), stores(&["o1", "o2", "o3"], 3)] {
            assert_eq!(judged(&tally, &stores), (Some(0), Some(0), Incomplete));
        }
        let two_more = stores(&["o1", "o2", "o3", "o4", "o5"], 5);
        assert_eq!(judged(&tally, &two_more), (Some(0), Some(0), NotClear));
    }

    #[test]
    fn an_order_that_only_the_list_leaves_out_is_not_lost() {
        let found = Stores { found: BTreeSet::from(["o2".to_owned()]), ..stores(&["o1", "o3"], 3) };

        let Findings { lost, doubled, notes, .. } = audit(&tally(), &found);

        assert_eq!((lost, doubled), (Some(0), Some(0)));
        assert_eq!(notes, ["1 orders are stored, but not in the list"]);
    }
}
