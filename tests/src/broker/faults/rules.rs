//! The rules in force, as the broker asks them at every moment.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Effect, Moment, Rule};

/// So many spent rules are remembered, so that hours of chaos do not fill the memory.
const REMEMBERED: usize = 1_000;

/// The rules that wait for their moments, and what became of those that are spent.
///
/// A plain struct: no clock, no chance. The same occasions in the same order have the same effects.
#[derive(Debug, Default)]
pub struct Rules {
    /// In the order of their ids.
    waiting: Vec<Fired>,
    /// The oldest first.
    spent: VecDeque<Fired>,
    last_id: u64,
}

/// What the broker is about to do, or has just done. What is not known at its moment is empty.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// When.
    pub moment: Moment,
    /// The name that the client gave to its connection.
    pub connection: &'a str,
    /// The queue of a delivery or an acknowledgement.
    pub queue: &'a str,
    /// Where the message was published to.
    pub exchange: &'a str,
    /// By which key.
    pub routing_key: &'a str,
    /// The method, such as `queue.declare`.
    pub method: &'a str,
}

/// A rule, and what it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// What [`Rules::add`] gave it.
    pub id: u64,
    /// As it was made.
    pub rule: Rule,
    /// On how many occasions it matched, those included that it let pass. A spent rule counts no longer.
    pub met: u64,
    /// How often it had its effect.
    pub fired: u64,
}

impl Rules {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule and gives its id, the next number from 1 on.
    ///
    /// # Errors
    ///
    /// The rule makes no sense; says why in a sentence.
    pub fn add(&mut self, rule: Rule) -> Result<u64, String> {
        rule.check()?;
        self.last_id += 1;
        self.waiting.push(Fired { id: self.last_id, rule, met: 0, fired: 0 });
        Ok(self.last_id)
    }

    /// Whether none waits: then no occasion has an effect, and none needs to be described.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Says what to do wrong on this occasion.
    ///
    /// Every waiting rule that matches has met the occasion; the first of them that is due fires. One that was due as
    /// well is so on the next occasion.
    pub fn meet(&mut self, occasion: &Occasion<'_>) -> Option<Effect> {
        let mut due = None;
        for (index, Fired { rule, met, .. }) in self.waiting.iter_mut().enumerate() {
            if matches(rule, occasion) {
                *met += 1;
                if due.is_none() && *met > rule.skip {
                    due = Some(index);
                }
            }
        }

        let due = due?;
        let Fired { rule, fired, .. } = &mut self.waiting[due];
        *fired += 1;
        let effect = rule.effect.clone();
        if *fired == rule.times {
            self.spent.push_back(self.waiting.remove(due));
            if self.spent.len() > REMEMBERED {
                self.spent.pop_front();
            }
        }
        Some(effect)
    }

    /// Removes them all, and what is known of those that are spent.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.spent.clear();
    }

    /// What became of each rule, in the order of their ids: those that wait, and the last thousand that are spent.
    pub fn fired(&self) -> Vec<Fired> {
        let mut all: Vec<_> = self.spent.iter().chain(&self.waiting).cloned().collect();
        all.sort_by_key(|fired| fired.id);
        all
    }
}

fn matches(rule: &Rule, occasion: &Occasion<'_>) -> bool {
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    rule.at == occasion.moment
        && rule.connection.as_ref().is_none_or(|part| occasion.connection.contains(part.as_str()))
        && is(&rule.queue, occasion.queue)
        && is(&rule.exchange, occasion.exchange)
        && is(&rule.routing_key, occasion.routing_key)
        && is(&rule.method, occasion.method)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISH: Occasion<'_> = Occasion {
        moment: Moment::PublishStored,
        connection: "users publisher",
        queue: "",
        exchange: "events",
        routing_key: "order.created",
        method: "",
    };

    fn drop_at_publish() -> Rule {
        Rule::new(Moment::PublishStored, Effect::Drop)
    }

    fn with(rules: impl IntoIterator<Item = Rule>) -> Rules {
        let mut all = Rules::new();
        for rule in rules {
            all.add(rule).expect("it makes sense");
        }
        all
    }

    #[test]
    fn a_rule_lets_some_pass_and_fires_so_often_and_no_more() {
        let mut rules = with([drop_at_publish().skip(2).times(3)]);

        let effects: Vec<_> = (0..7).map(|_| rules.meet(&PUBLISH).is_some()).collect();

        assert_eq!(effects, [false, false, true, true, true, false, false]);
        assert!(rules.is_empty());
    }

    #[test]
    fn a_spent_rule_still_says_how_often_it_fired() {
        let mut rules = with([drop_at_publish().skip(1)]);
        for _ in 0..5 {
            rules.meet(&PUBLISH);
        }

        let fired = Fired { id: 1, rule: drop_at_publish().skip(1), met: 2, fired: 1 };
        assert_eq!(rules.fired(), [fired]);

        rules.clear();
        assert_eq!(rules.fired(), []);
    }

    #[test]
    fn only_what_matches_in_every_part_is_met() {
        let rule = drop_at_publish().connection("users").exchange("events").routing_key("order.created");
        let others = [
            Occasion { moment: Moment::ConfirmSent, ..PUBLISH },
            Occasion { connection: "orders publisher", ..PUBLISH },
            Occasion { exchange: "", ..PUBLISH },
            Occasion { routing_key: "order", ..PUBLISH },
        ];
        let mut rules = with([rule]);

        for other in others {
            assert_eq!(rules.meet(&other), None, "{other:?}");
        }
        assert_eq!(rules.meet(&PUBLISH), Some(Effect::Drop));
        assert_eq!(rules.fired()[0].met, 1);
    }

    #[test]
    fn of_two_rules_that_are_due_the_older_fires_and_the_other_at_the_next_occasion() {
        let mut rules = with([drop_at_publish(), Rule::new(Moment::PublishStored, Effect::Hold)]);

        assert_eq!(rules.meet(&PUBLISH), Some(Effect::Drop));
        assert_eq!(rules.meet(&PUBLISH), Some(Effect::Hold));
        assert_eq!(rules.meet(&PUBLISH), None);
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_not_added() {
        let mut rules = Rules::new();

        assert!(rules.add(Rule::new(Moment::BeforeDelivery, Effect::Nack)).is_err());
        assert!(rules.is_empty());
        assert_eq!(rules.add(drop_at_publish()), Ok(1));
    }

    #[test]
    fn hours_of_chaos_do_not_fill_the_memory() {
        let mut rules = Rules::new();
        for _ in 0..REMEMBERED + 10 {
            rules.add(drop_at_publish()).expect("it makes sense");
            rules.meet(&PUBLISH);
        }

        let fired = rules.fired();
        assert_eq!((fired.len(), fired[0].id), (REMEMBERED, 11));
    }
}
