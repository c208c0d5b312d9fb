use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{http1::write_decimal, settings::Rate};

/// How many keys share a lock and compete for room.
const BUCKET: usize = 8;

/// Counts what each client asks for, by the generic cell rate algorithm (GCRA): what is kept of a client is one
/// moment, at which it may ask for a whole burst again.
///
/// *Bounded*: the room for keys is taken once. A client that is new takes, of the eight places in which it may stand,
/// the one whose holder has used least of its burst: first those that are full again, of whom nothing is forgotten,
/// last those who are being limited. A flood of other addresses thus pushes out its own kind; a limited client is
/// forgiven only where all others in its bucket have used as much, too, which happens to about one in ten thousand while
/// an eighth of the room is held by limited clients. Nobody is refused for want of room.
///
/// *Shared* by all workers: a check locks its bucket for some ten nanoseconds and allocates nothing. Keys are known
/// by 128 bits of hashes with random seeds, so that two clients are taken for one about never (one in 10^27 among
/// a million). The half that picks the bucket is SipHash, so that nobody can aim at one; the other need only be quick.
pub struct Limiter {
    buckets: Box<[Mutex<Bucket>]>,
    aim: RandomState,
    tell_apart: foldhash::quality::RandomState,
    started: Instant,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    /// Who showed a token.
    Subject(&'a str),
    /// Who did not. An IPv6 address counts with all of its /64, which one subscriber has to itself; an IPv4 address
    /// that came over IPv6 counts as what it is.
    Address(IpAddr),
}

/// What became of a request, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whether the request may pass.
    pub allowed: bool,
    /// How many more may come right now.
    pub remaining: u32,
    /// Seconds until a whole burst may come again, rounded up.
    pub reset_s: u64,
    /// Seconds until the next request may come, rounded up, at least 1.
    pub retry_after_s: u64,
}

/// Times are nanoseconds since the limiter's start.
#[derive(Default)]
struct Bucket {
    places: [Place; BUCKET],
    /// The latest time that was seen. Workers look at their clocks before they take the lock, so that one may come
    /// with an earlier time than the one before; to it a request would look as if it came from the future.
    latest: u64,
}

#[derive(Clone, Copy, Default)]
struct Place {
    key: u128,
    /// When the client may ask for a whole burst again.
    full_at: u64,
    /// How far ahead that may lie: the time in which a burst comes back.
    span: u64,
}

impl Limiter {
    /// Makes room for `most_keys` clients, 36 bytes each: 2.3 MiB for 65,536.
    pub fn new(most_keys: usize) -> Self {
        let buckets = most_keys.div_ceil(BUCKET).max(1);
        Self {
            buckets: (0..buckets).map(|_| Mutex::default()).collect(),
            aim: RandomState::new(),
            tell_apart: foldhash::quality::RandomState::default(),
            started: Instant::now(),
        }
    }

    /// Counts a request of `client` under the policy `scope`, whose figure is `rate`. A request that is refused costs
    /// nothing. Where `rate` changes, what was used stays used.
    pub fn check(&self, scope: u32, rate: &Rate, client: Client<'_>, now: Instant) -> Allowance {
        let now = nanos(now.saturating_duration_since(self.started));
        let pace = Pace::of(rate);
        let key = self.key(scope, client);
        let mut bucket = self.bucket(key).lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.max(bucket.latest);
        bucket.latest = now;
        let place = place_for(&mut bucket.places, key, now);
        let (full_at, allowance) = pace.spend(place.full_at, now);
        if allowance.allowed {
            (place.full_at, place.span) = (full_at, pace.span);
        }
        allowance
    }

    fn key(&self, scope: u32, client: Client<'_>) -> u128 {
        let (high, low) = match client {
            Client::Subject(subject) => self.hash(0, scope, subject.as_bytes()),
            Client::Address(address) => match address.to_canonical() {
                IpAddr::V4(address) => self.hash(1, scope, &address.octets()),
                IpAddr::V6(address) => self.hash(2, scope, &address.octets()[..8]),
            },
        };
        u128::from(high) << 64 | u128::from(low)
    }

    fn hash(&self, kind: u64, scope: u32, client: &[u8]) -> (u64, u64) {
        fn hash(mut hasher: impl Hasher, head: u64, client: &[u8]) -> u64 {
            hasher.write_u64(head);
            hasher.write(client);
            hasher.finish()
        }
        let head = kind << 32 | u64::from(scope);
        (hash(self.aim.build_hasher(), head, client), hash(self.tell_apart.build_hasher(), head, client))
    }

    /// The upper half of the key, as a fraction of one, picks the bucket: what a remainder would do, without a division.
    fn bucket(&self, key: u128) -> &Mutex<Bucket> {
        let index = ((key >> 64) * self.buckets.len() as u128) >> 64;
        &self.buckets[index as usize]
    }
}

/// Returns the place of `key`, or else the one that may be taken for it, as if it were free.
fn place_for(places: &mut [Place; BUCKET], key: u128, now: u64) -> &mut Place {
    let index = match places.iter().position(|place| place.key == key) {
        Some(index) => index,
        None => {
            let mut least = 0;
            for index in 1..BUCKET {
                if places[index].has_used_less(&places[least], now) {
                    least = index;
                }
            }
            places[least] = Place { key, ..Place::default() };
            least
        }
    };
    &mut places[index]
}

impl Place {
    /// Whether a smaller share of its burst is used up.
    fn has_used_less(&self, other: &Self, now: u64) -> bool {
        let used = |place: &Self| u128::from(place.full_at.saturating_sub(now));
        used(self) * u128::from(other.span.max(1)) < used(other) * u128::from(self.span.max(1))
    }
}

/// A rate in nanoseconds.
struct Pace {
    /// In which one request comes back, rounded up, so that never more pass than the figure says.
    interval: u64,
    /// In which a whole burst comes back.
    span: u64,
}

impl Pace {
    fn of(rate: &Rate) -> Self {
        let interval = nanos(rate.window).div_ceil(u64::from(rate.requests.max(1))).max(1);
        Self { interval, span: interval.saturating_mul(u64::from(rate.burst.max(1))) }
    }

    /// Spends one request of a client that may ask for a whole burst again at `full_at`. Pure.
    fn spend(&self, full_at: u64, now: u64) -> (u64, Allowance) {
        let before = full_at.max(now);
        let after = before.saturating_add(self.interval);
        let latest = now.saturating_add(self.span);
        let allowed = after <= latest;
        let full_at = if allowed { after } else { before };
        let left = latest.saturating_sub(full_at) / self.interval;
        let next = full_at.saturating_add(self.interval).saturating_sub(latest);
        let allowance = Allowance {
            allowed,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            reset_s: (full_at - now).div_ceil(NANOS_PER_SECOND),
            retry_after_s: next.div_ceil(NANOS_PER_SECOND).max(1),
        };
        (full_at, allowance)
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Allowance {
    /// Writes `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). After a pause `r` may be
    /// greater than `q`, as far as the burst is greater than what comes back in a window.
    pub fn write_headers(&self, rate: &Rate, out: &mut Vec<u8>) {
        out.extend_from_slice(b"RateLimit-Policy: \"default\";q=");
        write_decimal(u64::from(rate.requests), out);
        out.extend_from_slice(b";w=");
        write_decimal(rate.window.as_secs(), out);
        out.extend_from_slice(b"\r\nRateLimit: \"default\";r=");
        write_decimal(u64::from(self.remaining), out);
        out.extend_from_slice(b";t=");
        write_decimal(self.reset_s, out);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALICE: Client<'_> = Client::Subject("alice");

    fn rate(requests: u32, window_s: u64, burst: u32) -> Rate {
        Rate { requests, window: Duration::from_secs(window_s), burst }
    }

    fn address(raw: &str) -> Client<'_> {
        Client::Address(raw.parse().expect("an address"))
    }

    #[test]
    fn a_burst_passes_and_then_what_comes_back() {
        let (limiter, rate, now) = (Limiter::new(8), rate(2, 1, 3), Instant::now());
        let at = |millis| limiter.check(0, &rate, ALICE, now + Duration::from_millis(millis));

        let burst: Vec<_> = (0..4).map(|_| at(0)).collect();

        assert_eq!(burst.iter().map(|one| one.allowed).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!(burst.iter().map(|one| one.remaining).collect::<Vec<_>>(), [2, 1, 0, 0]);
        assert_eq!((burst[3].reset_s, burst[3].retry_after_s), (2, 1));
        assert!(!at(499).allowed);
        assert!(at(500).allowed);
        assert!(!at(501).allowed);
        let rested = at(10_000);
        assert_eq!((rested.allowed, rested.remaining, rested.reset_s), (true, 2, 1));
    }

    #[test]
    fn whoever_waits_as_long_as_told_passes() {
        let (limiter, rate, now) = (Limiter::new(8), rate(1, 60, 1), Instant::now());
        assert!(limiter.check(0, &rate, ALICE, now).allowed);

        let refused = limiter.check(0, &rate, ALICE, now + Duration::from_millis(1));

        assert!(!refused.allowed);
        assert_eq!(refused.retry_after_s, 60);
        let waited = now + Duration::from_millis(1) + Duration::from_secs(refused.retry_after_s);
        assert!(limiter.check(0, &rate, ALICE, waited).allowed);
    }

    #[test]
    fn clients_and_policies_are_counted_apart() {
        let (limiter, rate, now) = (Limiter::new(1024), rate(1, 60, 1), Instant::now());
        let clients = [
            ALICE,
            Client::Subject("bob"),
            Client::Subject("10.0.0.1"),
            address("10.0.0.1"),
            address("10.0.0.2"),
            address("fd00::1"),
            address("fd00:0:0:1::1"),
        ];
        for scope in 0..3 {
            for client in clients {
                assert!(limiter.check(scope, &rate, client, now).allowed, "{scope} {client:?}");
                assert!(!limiter.check(scope, &rate, client, now).allowed, "{scope} {client:?}");
            }
        }
    }

    #[test]
    fn one_client_is_known_by_any_of_its_addresses() {
        let (limiter, rate, now) = (Limiter::new(1024), rate(1, 60, 1), Instant::now());
        for (one, other) in [("10.0.0.1", "::ffff:10.0.0.1"), ("fd00::1", "fd00::ffff:1:2:3")] {
            assert!(limiter.check(0, &rate, address(one), now).allowed);
            assert!(!limiter.check(0, &rate, address(other), now).allowed);
        }
    }

    #[test]
    fn a_flood_of_other_addresses_does_not_free_a_limited_client() {
        let (limiter, rate, now) = (Limiter::new(64), rate(10, 10, 20), Instant::now());
        while limiter.check(0, &rate, ALICE, now).allowed {}

        for number in 0..100_000_u32 {
            let other = Client::Address(IpAddr::V4(number.into()));
            assert!(limiter.check(0, &rate, other, now).allowed, "nobody else is refused");
        }

        assert!(!limiter.check(0, &rate, ALICE, now).allowed);
    }

    #[test]
    fn a_flood_under_a_stricter_policy_does_not_either() {
        let (limiter, now) = (Limiter::new(64), Instant::now());
        let (general, strict) = (rate(100, 1, 200), rate(10, 10, 20));
        while limiter.check(0, &general, ALICE, now).allowed {}

        // Each owes five seconds, more than the two that Alice owes, but a smaller share.
        for number in 0..10_000_u32 {
            for _ in 0..5 {
                limiter.check(1, &strict, Client::Address(IpAddr::V4(number.into())), now);
            }
        }

        assert!(!limiter.check(0, &general, ALICE, now).allowed);
    }

    #[test]
    fn whoever_is_full_again_makes_room_first() {
        let (limiter, rate, now) = (Limiter::new(BUCKET), rate(1, 1, 2), Instant::now());
        let other = |number: u32| Client::Address(IpAddr::V4(number.into()));
        // Alice owes two seconds, the others one.
        limiter.check(0, &rate, ALICE, now);
        limiter.check(0, &rate, ALICE, now);
        for number in 1..8 {
            limiter.check(0, &rate, other(number), now);
        }

        // By now all owe nothing but Alice.
        for number in 8..15 {
            limiter.check(0, &rate, other(number), now + SECOND);
        }

        assert_eq!(limiter.check(0, &rate, ALICE, now + SECOND).remaining, 0);
    }

    #[test]
    fn a_worker_whose_clock_was_read_earlier_takes_nothing_from_the_client() {
        let (limiter, rate, now) = (Limiter::new(8), rate(1, 1, 2), Instant::now() + SECOND);
        assert!(limiter.check(0, &rate, ALICE, now).allowed);

        assert!(limiter.check(0, &rate, ALICE, now - Duration::from_millis(1)).allowed);
        assert!(!limiter.check(0, &rate, ALICE, now).allowed);
    }

    #[test]
    fn the_headers_say_what_is_allowed_and_what_is_left() {
        let allowance = Allowance { allowed: true, remaining: 57, reset_s: 1, retry_after_s: 1 };
        let mut out = Vec::new();

        allowance.write_headers(&rate(100, 1, 200), &mut out);

        let expected = "RateLimit-Policy: \"default\";q=100;w=1\r\nRateLimit: \"default\";r=57;t=1\r\n";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
    }

    proptest! {
        #[test]
        fn never_more_pass_than_a_burst_and_what_has_come_back(
            requests in 1..1000_u32,
            window_s in 1..100_u64,
            burst in 1..50_u32,
            pauses in prop::collection::vec((0..3_u64, 0..2_000_000_000_u64), 1..300),
        ) {
            let (limiter, rate, start) = (Limiter::new(8), rate(requests, window_s, burst), Instant::now());
            let (mut elapsed, mut passed) = (Duration::ZERO, 0_u64);
            for (kind, pause) in pauses {
                // Two of three come at once.
                elapsed += if kind == 0 { Duration::from_nanos(pause) } else { Duration::ZERO };
                let allowance = limiter.check(0, &rate, ALICE, start + elapsed);
                passed += u64::from(allowance.allowed);

                let come_back = elapsed.as_nanos() * u128::from(requests) / rate.window.as_nanos();
                prop_assert!(u128::from(passed) <= u128::from(burst) + come_back);
                prop_assert!(allowance.remaining < burst);
            }
        }

        #[test]
        fn what_is_said_to_be_left_is_left(
            requests in 1..1000_u32,
            window_s in 1..100_u64,
            burst in 1..50_u32,
            used in 1..60_u32,
        ) {
            let (limiter, rate, now) = (Limiter::new(8), rate(requests, window_s, burst), Instant::now());
            let mut last = None;
            for _ in 0..used {
                last = Some(limiter.check(0, &rate, ALICE, now));
            }

            let last = last.expect("at least one came");
            let more = (0..100).take_while(|_| limiter.check(0, &rate, ALICE, now).allowed).count();

            prop_assert_eq!(more, last.remaining as usize);
            let refused = limiter.check(0, &rate, ALICE, now);
            prop_assert!(!refused.allowed);
            let full = now + Duration::from_secs(refused.reset_s);
            prop_assert_eq!(limiter.check(0, &rate, ALICE, full).remaining, burst - 1);
        }

        #[test]
        fn no_figure_overflows(
            requests in any::<u32>(), window_s in 0..=u64::MAX, burst in any::<u32>(),
            full_at in any::<u64>(), now in any::<u64>(),
        ) {
            let rate = rate(requests, window_s, burst);
            let (next, allowance) = Pace::of(&rate).spend(full_at, now);
            prop_assert!(next >= now);
            prop_assert!(allowance.retry_after_s >= 1);
        }
    }
}
