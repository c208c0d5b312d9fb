use std::{
    collections::HashMap,
    fmt::Write,
    time::{Duration, Instant},
};

/// How long a session lasts.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How many there may be at once; the oldest makes room.
const MOST: usize = 64;

/// The sessions that are open, by their random names. They end with the process. The time comes from the caller.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<String, Instant>);

impl Sessions {
    /// Begins a session and returns its name.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn begin(&mut self, now: Instant) -> Result<String, getrandom::Error> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)?;
        let name = random.iter().fold(String::new(), |mut name, byte| {
            // A text takes whatever is written to it.
            let _ = write!(name, "{byte:02x}");
            name
        });
        self.0.retain(|_, ends| now < *ends);
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, ends)| **ends).map(|(name, _)| name.clone());
            oldest.iter().for_each(|name| self.end(name));
        }
        self.0.insert(name.clone(), now + SESSION_LIFETIME);
        Ok(name)
    }

    /// Whether there is such a session.
    pub fn is_open(&self, name: &str, now: Instant) -> bool {
        self.0.get(name).is_some_and(|ends| now < *ends)
    }

    /// Ends a session.
    pub fn end(&mut self, name: &str) {
        self.0.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_twelve_hours_or_until_it_is_ended() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());

        let (one, other) = (sessions.begin(now).expect("random"), sessions.begin(now).expect("random"));
        sessions.end(&other);

        assert!(sessions.is_open(&one, now + SESSION_LIFETIME - Duration::from_secs(1)));
        assert!(!sessions.is_open(&one, now + SESSION_LIFETIME));
        assert!(!sessions.is_open(&other, now));
        assert!(!sessions.is_open("", now));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin(now).expect("random");

        let later = now + Duration::from_secs(1);
        let others: Vec<_> = (0..MOST).map(|_| sessions.begin(later).expect("random")).collect();

        assert!(!sessions.is_open(&first, later));
        assert!(others.iter().all(|name| sessions.is_open(name, later)));
    }
}
