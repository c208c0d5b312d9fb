use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// So many wrong tokens of one client within [`WINDOW`] are one too many.
const MOST: u32 = 10;

/// How long a wrong token counts.
const WINDOW: Duration = Duration::from_secs(60);

/// How many clients are counted at once; whoever comes then waits like one that was wrong too often.
const MOST_CLIENTS: usize = 1000;

/// How often who was wrong of late. The time comes from the caller.
#[derive(Debug, Default)]
pub struct Attempts(HashMap<IpAddr, Counted>);

#[derive(Clone, Copy, Debug)]
struct Counted {
    since: Instant,
    wrong: u32,
}

impl Attempts {
    /// How long `peer` has to wait before it may try; `None` where it may now.
    pub fn wait(&mut self, peer: IpAddr, now: Instant) -> Option<Duration> {
        self.0.retain(|_, counted| now < counted.since + WINDOW);
        match self.0.get(&peer) {
            Some(counted) if counted.wrong >= MOST => Some(counted.since + WINDOW - now),
            None if self.0.len() >= MOST_CLIENTS => Some(WINDOW),
            _ => None,
        }
    }

    /// Counts a wrong token.
    pub fn failed(&mut self, peer: IpAddr, now: Instant) {
        self.0.entry(peer).or_insert(Counted { since: now, wrong: 0 }).wrong += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_tokens_within_a_minute_are_enough() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let peer = IpAddr::from([127, 0, 0, 1]);

        for _ in 0..MOST {
            assert_eq!(attempts.wait(peer, now), None);
            attempts.failed(peer, now);
        }

        assert_eq!(attempts.wait(peer, now + WINDOW / 2), Some(WINDOW / 2));
        assert_eq!(attempts.wait(peer, now + WINDOW), None);
    }

    #[test]
    fn they_take_bounded_memory() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..u32::try_from(MOST_CLIENTS).expect("a thousand") {
            attempts.failed(IpAddr::from(n.to_be_bytes()), now);
        }

        let other = IpAddr::from([200, 0, 0, 1]);
        assert_eq!(attempts.wait(other, now), Some(WINDOW));
        assert_eq!(attempts.wait(other, now + WINDOW), None);
        assert!(attempts.0.is_empty());
    }
}
