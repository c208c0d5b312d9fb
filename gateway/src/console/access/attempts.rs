use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// So many wrong tokens of one address are taken at once, such as of somebody who mistypes.
const AT_ONCE: u32 = 10;

/// After them, one is taken every so often: 600 guesses an hour, and nobody who only mistyped is kept out for long.
const EACH: Duration = Duration::from_secs(6);

/// How many addresses are counted at once; whoever comes then waits like one that was wrong too often.
const MOST_CLIENTS: usize = 1000;

/// Until when the wrong tokens of an address count, each for [`EACH`]; an IPv6 address counts with all of its /64, which one
/// subscriber has to itself. The time comes from the caller.
#[derive(Debug, Default)]
pub struct Attempts(HashMap<IpAddr, Instant>);

impl Attempts {
    /// How long `peer` has to wait before it may try; `None` where it may now.
    pub fn wait(&mut self, peer: IpAddr, now: Instant) -> Option<Duration> {
        self.0.retain(|_, forgiven| now < *forgiven);
        match self.0.get(&client(peer)) {
            Some(forgiven) => {
                let too_many = (*forgiven - now).saturating_sub(EACH * (AT_ONCE - 1));
                (!too_many.is_zero()).then_some(too_many)
            }
            None if self.0.len() >= MOST_CLIENTS => Some(EACH),
            None => None,
        }
    }

    /// Counts a wrong token.
    pub fn failed(&mut self, peer: IpAddr, now: Instant) {
        let forgiven = self.0.entry(client(peer)).or_insert(now);
        *forgiven = now.max(*forgiven) + EACH;
    }
}

fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        short => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn ten_wrong_tokens_are_taken_at_once_and_then_one_every_six_seconds() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());

        for _ in 0..AT_ONCE {
            assert_eq!(attempts.wait(PEER, now), None);
            attempts.failed(PEER, now);
        }

        assert_eq!(attempts.wait(PEER, now), Some(EACH));
        assert_eq!(attempts.wait(PEER, now + EACH / 3), Some(EACH * 2 / 3));
        let later = now + EACH;
        assert_eq!(attempts.wait(PEER, later), None);
        attempts.failed(PEER, later);
        assert_eq!(attempts.wait(PEER, later), Some(EACH), "one, and not ten");
    }

    #[test]
    fn who_is_patient_is_trusted_like_at_first() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        (0..AT_ONCE).for_each(|_| attempts.failed(PEER, now));

        let much_later = now + EACH * AT_ONCE;

        for _ in 0..AT_ONCE {
            assert_eq!(attempts.wait(PEER, much_later), None);
            attempts.failed(PEER, much_later);
        }
        assert!(attempts.wait(PEER, much_later).is_some());
    }

    #[test]
    fn an_address_of_ipv6_counts_with_its_neighbours() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let address = |last: &str| format!("2001:db8::{last}").parse::<IpAddr>().expect("an address");

        (0..AT_ONCE).for_each(|_| attempts.failed(address("1"), now));

        assert_eq!(attempts.wait(address("2"), now), Some(EACH));
        assert_eq!(attempts.wait(address("1:0:0:0:1"), now), None);
    }

    #[test]
    fn they_take_bounded_memory() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..u32::try_from(MOST_CLIENTS).expect("a thousand") {
            attempts.failed(IpAddr::from(n.to_be_bytes()), now);
        }

        let other = IpAddr::from([200, 0, 0, 1]);
        assert_eq!(attempts.wait(other, now), Some(EACH));
        assert_eq!(attempts.wait(other, now + EACH), None);
        assert!(attempts.0.is_empty());
    }
}
