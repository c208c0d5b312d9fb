/// How long a key may stay published after the last token that it signed has expired: more than clocks are apart.
const GRACE_S: u64 = 60;

/// When keys are made, sign and go. All times are seconds, those at which something happens of the Unix epoch.
///
/// A key is published for a while before it signs, so that whoever verifies knows it by then; and it stays until
/// every token that it signed has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySchedule {
    /// How long a key signs.
    pub signs_for_s: u64,
    /// How long a key is published before it signs.
    pub ahead_s: u64,
    /// How long a key stays once the next one signs.
    pub stays_s: u64,
}

impl KeySchedule {
    /// Lets each key sign for `signs_for_s`, and tokens be good for `token_s`. A key is published two minutes ahead,
    /// since verifiers ask every minute; half its time where that is shorter.
    pub fn new(signs_for_s: u64, token_s: u64) -> Self {
        Self { signs_for_s, ahead_s: (signs_for_s / 2).min(120), stays_s: token_s.saturating_add(GRACE_S) }
    }

    /// How long the published keys may be kept: half the time that a key is published before it signs, so that one answer
    /// may be lost.
    pub fn max_age_s(self) -> u64 {
        (self.ahead_s / 2).max(1)
    }

    /// Returns from when a new key is to sign where it is time to make one; `newest` is when the newest one starts to.
    /// The very first signs at once: no token is out that anybody could hold against it.
    pub fn new_key(self, newest: Option<u64>, now: u64) -> Option<u64> {
        let Some(newest) = newest else { return Some(now) };
        let due = newest.saturating_add(self.signs_for_s);
        let earliest = now.saturating_add(self.ahead_s);
        (earliest >= due).then_some(earliest.max(due))
    }

    /// Whether a key is over whose successor signs from `successor` on.
    pub fn is_over(self, successor: u64, now: u64) -> bool {
        now >= self.over_at(successor)
    }

    /// Which key signs at `now`: the last to have started. `starts` ascends.
    pub fn signing(starts: &[u64], now: u64) -> Option<usize> {
        let started = starts.partition_point(|start| *start <= now);
        // A clock that was set back must not leave nobody to sign.
        if starts.is_empty() { None } else { Some(started.saturating_sub(1)) }
    }

    /// When a key is to be made or to go next; `starts` ascends.
    pub fn next_change(self, starts: &[u64]) -> Option<u64> {
        let made = starts.last()?.saturating_add(self.signs_for_s).saturating_sub(self.ahead_s);
        let gone = starts.get(1).map(|successor| self.over_at(*successor));
        Some(gone.map_or(made, |gone| gone.min(made)))
    }

    fn over_at(self, successor: u64) -> u64 {
        successor.saturating_add(self.stays_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    const SCHEDULE: KeySchedule = KeySchedule { signs_for_s: DAY, ahead_s: 120, stays_s: HOUR + GRACE_S };

    #[test]
    fn the_first_key_signs_at_once_and_later_ones_only_when_everybody_can_know_them() {
        assert_eq!(KeySchedule::new(DAY, HOUR), SCHEDULE);
        assert_eq!((SCHEDULE.max_age_s(), KeySchedule::new(8, HOUR).max_age_s()), (60, 2));
        assert_eq!(SCHEDULE.new_key(None, 1000), Some(1000));
        assert_eq!(SCHEDULE.new_key(Some(1000), 1000 + DAY - 121), None);
        assert_eq!(SCHEDULE.new_key(Some(1000), 1000 + DAY - 120), Some(1000 + DAY));
        assert_eq!(SCHEDULE.new_key(Some(1000), 9 * DAY), Some(9 * DAY + 120), "after a long rest");
        assert_eq!(SCHEDULE.new_key(Some(1000 + DAY), 1000 + DAY - 100), None, "one is on its way");
    }

    #[test]
    fn a_key_signs_until_the_next_one_does() {
        assert_eq!(KeySchedule::signing(&[], 5), None);
        assert_eq!(KeySchedule::signing(&[10], 5), Some(0), "the clock was set back");
        assert_eq!(KeySchedule::signing(&[10, 20], 19), Some(0));
        assert_eq!(KeySchedule::signing(&[10, 20], 20), Some(1));
    }

    #[test]
    fn a_key_goes_when_every_token_that_it_signed_has_expired() {
        let successor = 5000;
        let last_token_expires = successor - 1 + HOUR;

        assert!(!SCHEDULE.is_over(successor, last_token_expires + 10));
        assert!(SCHEDULE.is_over(successor, successor + HOUR + GRACE_S));
    }

    #[test]
    fn the_next_change_is_the_next_key_or_the_end_of_the_oldest() {
        assert_eq!(SCHEDULE.next_change(&[]), None);
        assert_eq!(SCHEDULE.next_change(&[1000]), Some(1000 + DAY - 120));
        assert_eq!(SCHEDULE.next_change(&[1000, 1000 + DAY]), Some(1000 + DAY + HOUR + GRACE_S));
    }
}
