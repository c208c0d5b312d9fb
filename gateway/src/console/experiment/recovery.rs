//! When a fault is over in its effect: something has to be seen that was not so before, and not only that all is well, which
//! it may also be before the fault has struck.

use serde_json::Value;

use super::{Breaking, Kind, site::actor};

/// Whether what `now` tells of the service shows that it was broken since `before`, and works again.
pub(super) fn is_healed(breaking: &Breaking, before: &Value, now: &Value) -> bool {
    let (old, new) = (actor(before, &breaking.actor), actor(now, &breaking.actor));
    let is_another = || new["generation"].as_u64() > old["generation"].as_u64();
    // In a container every process has the same number as the one before.
    let has_changed = |what: &str| before[what] != now[what];
    let is_another_process = now["pid"].is_u64() && (has_changed("pid") || has_changed("startedAt"));
    match breaking.kind {
        // Restarting its process restarts an actor as well.
        Kind::CrashActor => new["status"] == "running" && (is_another() || is_another_process),
        Kind::CutLink => new["observed"]["link"] == "connected" && (is_another() || is_another_process),
        Kind::KillProcess => is_another_process,
        // The service itself says when these are over, and how long they are was its own doing.
        Kind::BlockLink => new["observed"]["link"] == "connected",
        Kind::StallService => new["observed"].is_object(),
        Kind::PlaceOrders => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(pid: u64, generation: u64, status: &str, observed: Value) -> Value {
        let broker =
            json!({ "name": "broker", "generation": generation, "status": status, "observed": observed });
        json!({ "pid": pid, "actors": [broker] })
    }

    fn breaking(kind: Kind) -> Breaking {
        Breaking { kind, service: "orders".to_owned(), actor: "broker".to_owned(), ms: 0 }
    }

    #[test]
    fn a_fault_that_has_not_struck_yet_is_not_taken_for_one_that_is_over() {
        let before = report(1, 3, "running", json!({ "link": "connected" }));

        for kind in [Kind::CrashActor, Kind::CutLink, Kind::KillProcess] {
            assert!(!is_healed(&breaking(kind), &before, &before), "{kind:?}");
            assert!(!is_healed(&breaking(kind), &before, &Value::Null), "{kind:?}: no answer");
        }
    }

    #[test]
    fn what_works_again_is_another_one() {
        let before = report(1, 3, "running", json!({ "link": "connected" }));
        let back = report(1, 4, "running", json!({ "link": "connected" }));
        let other = report(2, 1, "running", json!({ "link": "connected" }));
        let trying = report(1, 4, "starting", json!({ "link": "connecting" }));

        for kind in [Kind::CrashActor, Kind::CutLink] {
            assert!(is_healed(&breaking(kind), &before, &back), "{kind:?}");
            assert!(is_healed(&breaking(kind), &before, &other), "{kind:?}");
            assert!(!is_healed(&breaking(kind), &before, &trying), "{kind:?}");
        }
        assert!(is_healed(&breaking(Kind::KillProcess), &before, &other));
        assert!(!is_healed(&breaking(Kind::KillProcess), &before, &back));
    }

    #[test]
    fn a_process_with_the_number_of_the_one_before_is_another_one() {
        let mut before = report(7, 3, "running", json!({ "link": "connected" }));
        before["startedAt"] = json!("2026-01-01T00:00:00.000Z");
        let mut other = report(7, 1, "running", json!({ "link": "connected" }));
        other["startedAt"] = json!("2026-01-01T00:01:00.000Z");

        for kind in [Kind::CrashActor, Kind::CutLink, Kind::KillProcess] {
            assert!(is_healed(&breaking(kind), &before, &other), "{kind:?}");
            assert!(!is_healed(&breaking(kind), &before, &before), "{kind:?}");
        }
    }

    #[test]
    fn what_ends_by_itself_is_over_when_it_says_so() {
        let blocked = report(1, 3, "running", json!({ "link": "blocked" }));
        let stalled = report(1, 3, "running", Value::Null);
        let well = report(1, 3, "running", json!({ "link": "connected" }));

        assert!(!is_healed(&breaking(Kind::BlockLink), &well, &blocked));
        assert!(is_healed(&breaking(Kind::BlockLink), &well, &well));
        assert!(!is_healed(&breaking(Kind::StallService), &well, &stalled));
        assert!(is_healed(&breaking(Kind::StallService), &well, &well));
    }
}
