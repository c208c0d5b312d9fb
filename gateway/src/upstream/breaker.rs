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
