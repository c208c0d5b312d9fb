//! What an order has done, for a person.

use crate::broker::faults::{Answer, Order, Rule, Selection};

/// Such as `dropped 4 connections`.
pub(super) fn told(order: &Order, answer: &Answer) -> String {
    let on = |what| count(answer.affected.unwrap_or_default(), what);
    match order {
        Order::Drop { connections } => format!("dropped {}{}", on("connection"), of(connections)),
        Order::Refuse { for_ms } => {
            format!("new connections are closed at once, {}", lasting(*for_ms, "accept"))
        }
        Order::Accept => "new connections are accepted".into(),
        Order::Silence { connections, for_ms } => {
            format!("silent on {}{}, {}", on("connection"), of(connections), lasting(*for_ms, "speak"))
        }
        Order::Speak => "every silence is over".into(),
        Order::Block => "publishers are blocked as soon as they publish, until `cargo fault unblock`".into(),
        Order::Unblock => "publishers are not blocked by order".into(),
        Order::CancelConsumers { queue } => format!("cancelled {} of {queue}", on("consumer")),
        Order::CloseChannels { connections, code, .. } => {
            format!("closed {}{} with {code}", on("channel"), of(connections))
        }
        Order::ForgetQueues => format!("forgot {} with all that was in them", on("queue")),
        Order::AddVhost { name } => format!("there is a virtual host {name}"),
        Order::Rule(rule) => format!("rule {}: {}", answer.rule.unwrap_or_default(), sentence(rule)),
        Order::ClearRules => format!("removed {}", on("rule")),
        Order::Release => "what rules held goes on its way".into(),
        Order::Status => "the broker runs".into(),
        Order::Crash => "the broker has ended; `cargo up` starts it again".into(),
    }
}

/// What a rule will do.
pub(super) fn sentence(Rule { at, effect, skip, times, .. }: &Rule) -> String {
    let effect = effect.name();
    let times = match times {
        1 => "once".into(),
        &u64::MAX => "always".into(),
        times => format!("{times} times"),
    };
    match skip {
        0 => format!("{effect} at {at}, {times}"),
        skip => format!("{effect} at {at}, {times}, after {skip} that pass"),
    }
}

pub(super) fn count(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn of(Selection { name }: &Selection) -> String {
    name.as_ref().map(|name| format!(" with {name:?} in the name of their connection")).unwrap_or_default()
}

fn lasting(for_ms: Option<u64>, end: &str) -> String {
    match for_ms {
        Some(ms) => format!("for {:.1} s", ms as f64 / 1_000.0),
        None => format!("until `cargo fault {end}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::faults::{Effect, Moment};

    #[test]
    fn what_was_done_is_told_in_a_sentence() {
        for (order, affected, text) in [
            (Order::Drop { connections: Selection::all() }, 4, "dropped 4 connections"),
            (
                Order::Drop { connections: Selection::named("orders") },
                1,
                "dropped 1 connection with \"orders\" in the name of their connection",
            ),
            (
                Order::Silence { connections: Selection::all(), for_ms: Some(20_000) },
                2,
                "silent on 2 connections, for 20.0 s",
            ),
            (
                Order::Refuse { for_ms: None },
                0,
                "new connections are closed at once, until `cargo fault accept`",
            ),
            (Order::CancelConsumers { queue: "q".into() }, 0, "cancelled 0 consumers of q"),
            (
                Order::CloseChannels { connections: Selection::all(), code: 406, text: String::new() },
                3,
                "closed 3 channels with 406",
            ),
            (Order::ClearRules, 1, "removed 1 rule"),
        ] {
            assert_eq!(told(&order, &Answer::did(affected)), text);
        }
    }

    #[test]
    fn a_rule_is_told_in_words() {
        let rule = Order::Rule(Rule::new(Moment::PublishStored, Effect::Drop).skip(9).times(2));

        assert_eq!(
            told(&rule, &Answer::added(Ok(7))),
            "rule 7: drop at publish-stored, 2 times, after 9 that pass"
        );
    }
}
