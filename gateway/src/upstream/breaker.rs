//! Leaves an endpoint alone that keeps failing. Pure: the time comes from the caller.

use std::time::{Duration, Instant};

use super::{EndpointFailure, window::Window};
use crate::settings::BreakerSettings;

/// Admits requests while the endpoint works.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// When `state` began.
    since: Instant,
    in_a_row: u32,
    recent: Window,
    /// When it closed last after it had been open.
    returned: Option<Instant>,
    /// When it closed last on nothing but the word of the health check.
    vouched: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open(Opening),
    /// One request is on its way to find out.
    Probing(Opening),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opening {
    at: Instant,
    /// When a request may probe.
    until: Instant,
    /// Whether a health check that hears well is enough to close it.
    believes_health: bool,
}

/// What those who choose need to know of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Everybody may pass.
    Closed {
        /// When it came back, if it was ever away.
        returned: Option<Instant>,
    },
    /// Nobody may pass before `until`, and then one.
    Open {
        /// When a request may probe.
        until: Instant,
    },
    /// One is passing; nobody else may.
    Probing,
}

/// How a request passed the breaker. Its verdict counts only as long as the breaker is still in the state in
/// which the request passed: what began earlier is too old to tell how things are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// When.
    pub at: Instant,
    /// Whether it probes.
    pub probe: bool,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self {
            state: State::Closed,
            since: now,
            in_a_row: 0,
            recent: Window::new(settings.window, now),
            settings,
            returned: None,
            vouched: None,
        }
    }

    /// Goes on with other figures. An open breaker keeps the time of its next probe.
    pub fn configure(&mut self, settings: BreakerSettings, now: Instant) {
        if settings.window != self.settings.window {
            self.recent = Window::new(settings.window, now);
        }
        self.settings = settings;
    }

    /// What those who choose need to know.
    pub fn gate(&self) -> Gate {
        match self.state {
            State::Closed => Gate::Closed { returned: self.returned },
            State::Open(opening) => Gate::Open { until: opening.until },
            State::Probing(_) => Gate::Probing,
        }
    }

    /// Lets one request through an open breaker whose time has come; returns whether it is this one.
    pub fn probe(&mut self, now: Instant) -> bool {
        match self.state {
            State::Open(opening) if now >= opening.until => {
                self.enter(State::Probing(opening), now);
                true
            }
            _ => false,
        }
    }

    /// Notes that a request ended without telling anything; the next one may probe in its place.
    pub fn abandoned(&mut self, admission: Admission) {
        if let State::Probing(opening) = self.state
            && self.counts(admission)
        {
            self.enter(State::Open(opening), admission.at);
        }
    }

    /// Notes that a request succeeded; returns how long the breaker was open where that closed it.
    pub fn succeeded(&mut self, admission: Admission, now: Instant) -> Option<Duration> {
        if !self.counts(admission) {
            return None;
        }
        match self.state {
            State::Probing(opening) => Some(self.close(opening, now)),
            State::Closed | State::Open(_) => {
                self.in_a_row = 0;
                self.recent.note(false, now);
                None
            }
        }
    }

    /// Notes that a request failed; returns whether that opened a closed breaker.
    pub fn failed(&mut self, admission: Admission, why: EndpointFailure, now: Instant) -> bool {
        if !self.counts(admission) {
            return false;
        }
        match self.state {
            State::Probing(opening) => {
                let until = now + self.settings.probe_after;
                self.enter(State::Open(Opening { until, ..opening }), now);
                false
            }
            State::Closed | State::Open(_) => {
                self.in_a_row += 1;
                let recent = self.recent.note(true, now);
                let BreakerSettings { failures_in_a_row, failure_ratio, least_requests, .. } = &self.settings;
                let too_many = recent.requests >= *least_requests
                    && f64::from(recent.failures) >= failure_ratio * f64::from(recent.requests);
                let opens = self.in_a_row >= *failures_in_a_row || too_many;
                if opens {
                    self.open(why, now);
                }
                opens
            }
        }
    }

    /// Notes that the health check heard well of the endpoint, in an exchange that began at `began`; `was_away`
    /// says that the one before had not. Returns how long the breaker was open where that closed it.
    ///
    /// An endpoint that was away and is back closes it at once. One that was never heard to be away is believed
    /// only where the link had failed, and not again where requests went on failing: a service may well find
    /// itself ready and yet answer every request with 500.
    pub fn heard_well(&mut self, began: Instant, was_away: bool, now: Instant) -> Option<Duration> {
        let (State::Open(opening) | State::Probing(opening)) = self.state else {
            return None;
        };
        if began < opening.at || !(was_away || opening.believes_health) {
            return None;
        }
        self.vouched = (!was_away).then_some(now);
        Some(self.close(opening, now))
    }

    fn counts(&self, admission: Admission) -> bool {
        match self.state {
            State::Closed => admission.at >= self.since,
            State::Probing(_) => admission.probe && admission.at == self.since,
            State::Open(_) => false,
        }
    }

    fn open(&mut self, why: EndpointFailure, now: Instant) {
        let vouched_in_vain =
            self.vouched.is_some_and(|at| now.saturating_duration_since(at) < self.settings.probe_after);
        let opening = Opening {
            at: now,
            until: now + self.settings.probe_after,
            believes_health: why.is_of_the_link() && !vouched_in_vain,
        };
        self.enter(State::Open(opening), now);
    }

    fn close(&mut self, opening: Opening, now: Instant) -> Duration {
        self.enter(State::Closed, now);
        self.returned = Some(now);
        self.in_a_row = 0;
        self.recent.clear();
        now.saturating_duration_since(opening.at)
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CONNECT: EndpointFailure = EndpointFailure::Connect;
    const STATUS: EndpointFailure = EndpointFailure::Status(500);

    fn breaker() -> (Breaker, Instant) {
        let now = Instant::now();
        (Breaker::new(BreakerSettings::default(), now), now)
    }

    fn ordinary(at: Instant) -> Admission {
        Admission { at, probe: false }
    }

    fn probe(at: Instant) -> Admission {
        Admission { at, probe: true }
    }

    fn open(breaker: &mut Breaker, why: EndpointFailure, now: Instant) {
        let opened = (0..5).filter(|_| breaker.failed(ordinary(now), why, now)).count();
        assert_eq!(opened, 1);
    }

    fn is_closed(breaker: &Breaker) -> bool {
        matches!(breaker.gate(), Gate::Closed { .. })
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_starts_the_count_again() {
        let (mut breaker, now) = breaker();

        for _ in 0..4 {
            assert!(!breaker.failed(ordinary(now), STATUS, now));
        }
        breaker.succeeded(ordinary(now), now);
        for _ in 0..4 {
            assert!(!breaker.failed(ordinary(now), STATUS, now));
        }
        assert!(is_closed(&breaker));
        assert!(breaker.failed(ordinary(now), STATUS, now));

        assert_eq!(breaker.gate(), Gate::Open { until: now + 5 * SECOND });
    }

    #[test]
    fn half_of_at_least_twenty_requests_within_ten_seconds_open_it() {
        let (mut breaker, now) = breaker();

        let opened = (0..20).find(|_| {
            breaker.succeeded(ordinary(now), now);
            breaker.failed(ordinary(now), STATUS, now)
        });

        assert_eq!(opened, Some(9), "with the twentieth request");
    }

    #[test]
    fn failures_longer_ago_do_not_count() {
        let (mut breaker, start) = breaker();

        let opened = (0..100).any(|n| {
            let now = start + 2 * n * SECOND;
            breaker.succeeded(ordinary(now), now);
            breaker.failed(ordinary(now), STATUS, now)
        });

        assert!(!opened, "no ten seconds hold more than ten requests");
    }

    #[test]
    fn one_request_probes_and_decides() {
        let (mut breaker, now) = breaker();
        open(&mut breaker, STATUS, now);

        assert!(!breaker.probe(now + 4 * SECOND), "too early");
        let later = now + 5 * SECOND;
        assert!(breaker.probe(later));
        assert!(!breaker.probe(later), "one at a time");
        assert!(!breaker.failed(probe(later), STATUS, later), "it is no second ejection");
        assert_eq!(breaker.gate(), Gate::Open { until: later + 5 * SECOND });

        let last = later + 5 * SECOND;
        assert!(breaker.probe(last));
        assert_eq!(breaker.succeeded(probe(last), last), Some(10 * SECOND));
        assert_eq!(breaker.gate(), Gate::Closed { returned: Some(last) });
    }

    #[test]
    fn a_probe_that_is_abandoned_leaves_its_place_to_the_next() {
        let (mut breaker, now) = breaker();
        open(&mut breaker, STATUS, now);
        let later = now + 5 * SECOND;

        assert!(breaker.probe(later));
        breaker.abandoned(probe(later));

        assert!(breaker.probe(later));
        assert!(!breaker.probe(later));
    }

    #[test]
    fn only_the_probe_itself_can_free_its_place() {
        let (mut breaker, now) = breaker();
        open(&mut breaker, CONNECT, now);
        let (first, second) = (now + 5 * SECOND, now + 30 * SECOND);

        assert!(breaker.probe(first));
        assert!(breaker.heard_well(first, true, first).is_some());
        open(&mut breaker, CONNECT, first);
        assert!(breaker.probe(second));
        breaker.abandoned(probe(first));

        assert_eq!(breaker.gate(), Gate::Probing);
    }

    #[test]
    fn requests_admitted_before_it_opened_change_nothing() {
        let (mut breaker, now) = breaker();
        let old = ordinary(now);
        open(&mut breaker, STATUS, now + SECOND);

        breaker.succeeded(old, now + 2 * SECOND);
        assert!(!breaker.failed(old, STATUS, now + 2 * SECOND));
        assert_eq!(breaker.gate(), Gate::Open { until: now + 6 * SECOND });

        assert!(breaker.probe(now + 6 * SECOND));
        breaker.failed(old, STATUS, now + 6 * SECOND);
        breaker.succeeded(old, now + 6 * SECOND);
        assert_eq!(breaker.gate(), Gate::Probing, "only the probe decides");

        breaker.succeeded(probe(now + 6 * SECOND), now + 7 * SECOND);
        for _ in 0..20 {
            assert!(!breaker.failed(old, STATUS, now + 8 * SECOND));
        }
        assert!(is_closed(&breaker));
    }

    #[test]
    fn an_endpoint_that_was_away_and_is_back_is_let_in_at_once() {
        for why in [CONNECT, EndpointFailure::Timeout, EndpointFailure::Answer, STATUS] {
            let (mut breaker, now) = breaker();
            open(&mut breaker, why, now + SECOND);

            assert_eq!(breaker.heard_well(now, true, now + 2 * SECOND), None, "asked before it opened");
            assert_eq!(breaker.heard_well(now + SECOND, true, now + 2 * SECOND), Some(SECOND));

            assert_eq!(breaker.gate(), Gate::Closed { returned: Some(now + 2 * SECOND) });
        }
    }

    #[test]
    fn a_health_check_that_never_noticed_anything_is_believed_once_and_only_about_the_link() {
        let (mut breaker, now) = breaker();
        open(&mut breaker, STATUS, now);
        assert_eq!(breaker.heard_well(now, false, now), None);

        let (mut breaker, now) = self::breaker();
        open(&mut breaker, EndpointFailure::Answer, now);
        assert!(breaker.heard_well(now, false, now + SECOND).is_some());
        open(&mut breaker, EndpointFailure::Answer, now + 2 * SECOND);
        assert_eq!(breaker.heard_well(now + 2 * SECOND, false, now + 3 * SECOND), None, "in vain before");

        let probed = now + 7 * SECOND;
        assert!(breaker.probe(probed));
        assert!(breaker.succeeded(probe(probed), probed).is_some());
        open(&mut breaker, EndpointFailure::Answer, probed);
        assert!(breaker.heard_well(probed, false, probed).is_some(), "long ago");
    }

    #[test]
    fn other_figures_count_from_the_next_request_on() {
        let (mut breaker, now) = breaker();
        breaker.failed(ordinary(now), STATUS, now);

        breaker.configure(BreakerSettings { failures_in_a_row: 2, ..BreakerSettings::default() }, now);

        assert!(breaker.failed(ordinary(now), STATUS, now));
    }
}
