use std::{fmt, time::Duration};

use lapin::uri::{AMQPScheme, AMQPUri};

use super::LinkFaults;
use crate::{backoff::Backoff, config::Environment};

/// Where the broker is and how patient the link is with it.
#[derive(Clone)]
pub struct BrokerConfig {
    pub(super) uri: AMQPUri,
    pub(super) reconnect: Backoff,
    pub(super) prefetch: u16,
    pub(super) confirm_timeout: Duration,
    pub(super) retry_delays: Vec<Duration>,
    pub(super) faults: LinkFaults,
}

impl BrokerConfig {
    const URL: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";

    /// A dead peer is found after two intervals and a half: 12.5 s.
    const HEARTBEAT_SECS: u16 = 5;

    /// Largest AMQP frame: what RabbitMQ allows if nobody tells it otherwise. A message's headers travel in one
    /// frame, and ones that a publisher may send and this link may not receive would end it again and again.
    /// lapin's buffers hold 64 of them; what is never filled takes no memory.
    pub(super) const FRAME_MAX: u32 = 128 * 1024;

    /// Reads `AMQP_URL` and the `BROKER_…` variables.
    pub fn from_env(env: &mut Environment) -> Self {
        let url = env.text("AMQP_URL", Self::URL);
        let mut config = Self::for_url(&url).unwrap_or_else(|mistake| {
            env.mistake(format!("AMQP_URL {mistake}"));
            Self::default()
        });
        let min = env.millis("BROKER_RECONNECT_MIN_MS", Duration::from_millis(100));
        let max = env.millis("BROKER_RECONNECT_MAX_MS", Duration::from_millis(2000));
        if min.is_zero() || min > max {
            env.mistake("BROKER_RECONNECT_MIN_MS must be from 1 to BROKER_RECONNECT_MAX_MS");
        }
        config.reconnect = Backoff::new(min, max);
        config.prefetch = env.parse("BROKER_PREFETCH", config.prefetch, "a number from 1 to 65535");
        if config.prefetch == 0 {
            env.mistake(
                "BROKER_PREFETCH must be a number from 1 to 65535, not 0, which means without a bound",
            );
        }
        config.confirm_timeout = env.millis("BROKER_CONFIRM_TIMEOUT_MS", config.confirm_timeout);
        if config.confirm_timeout.is_zero() {
            env.mistake("BROKER_CONFIRM_TIMEOUT_MS must not be 0");
        }
        let delays = env.text("BROKER_RETRY_DELAYS_MS", "1000,5000,25000");
        match parse_delays(&delays) {
            Some(delays) => config.retry_delays = delays,
            None => env.mistake(format!(
                "BROKER_RETRY_DELAYS_MS must be whole numbers of milliseconds from 1 to 86400000, each larger \
                 than the one before, with commas between, not {delays:?}"
            )),
        }
        config
    }

    /// Takes the defaults for everything but the address.
    ///
    /// # Errors
    /// Says what is wrong with the address, without its password.
    pub fn for_url(url: &str) -> Result<Self, String> {
        Ok(Self {
            uri: parse_url(url)?,
            reconnect: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
            prefetch: 200,
            confirm_timeout: Duration::from_secs(10),
            retry_delays: [1, 5, 25].map(Duration::from_secs).to_vec(),
            faults: LinkFaults::default(),
        })
    }

    /// Waits by these delays between the attempts at a message.
    #[must_use]
    pub fn retry_delays(self, delays: Vec<Duration>) -> Self {
        Self { retry_delays: delays, ..self }
    }

    /// Gives a publication up, and the link with it, when its confirm is overdue by `timeout`.
    #[must_use]
    pub fn confirm_timeout(self, timeout: Duration) -> Self {
        Self { confirm_timeout: timeout, ..self }
    }

    /// Returns what makes the links of this config, and of its clones, fail on purpose.
    pub fn faults(&self) -> LinkFaults {
        self.faults.clone()
    }

    /// Returns `host:port`.
    pub fn address(&self) -> String {
        let authority = &self.uri.authority;
        match authority.host.contains(':') {
            true => format!("[{}]:{}", authority.host, authority.port),
            false => format!("{}:{}", authority.host, authority.port),
        }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self::for_url(Self::URL).expect("the default address is sound")
    }
}

/// Shows where the broker is, as `host:port/vhost`, and never who connects with which password.
impl fmt::Display for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vhost = self.uri.vhost.trim_start_matches('/');
        write!(f, "{}/{vhost}", self.address())
    }
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("broker", &format_args!("{self}"))
            .field("reconnect", &self.reconnect)
            .field("prefetch", &self.prefetch)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("retry_delays", &self.retry_delays)
            .finish_non_exhaustive()
    }
}

/// Reads an address by RabbitMQ's URI specification, except that an empty path means the default virtual host
/// with a trailing slash as well. The heartbeat and the frame size are ours, whatever the address asks for.
fn parse_url(url: &str) -> Result<AMQPUri, String> {
    const SHAPE: &str = "must look like amqp://user:password@host:5672/vhost";
    // The parser's own message repeats the address, and with it the password.
    let mut uri: AMQPUri = url.parse().map_err(|_| SHAPE.to_owned())?;
    match uri.scheme {
        AMQPScheme::AMQP => {}
        AMQPScheme::AMQPS => return Err("must start with amqp://: TLS is not built in".to_owned()),
    }
    if let Some((_, rest)) = url.split_once("[") {
        // The parser takes an IPv6 address for no host at all.
        uri.authority.host = rest.split_once(']').ok_or(SHAPE)?.0.to_owned();
    }
    if uri.authority.host.is_empty() || uri.authority.port == 0 {
        return Err(SHAPE.to_owned());
    }
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    uri.query.heartbeat = Some(BrokerConfig::HEARTBEAT_SECS);
    uri.query.frame_max = Some(BrokerConfig::FRAME_MAX);
    Ok(uri)
}

fn parse_delays(raw: &str) -> Option<Vec<Duration>> {
    let delays: Vec<u64> = raw.split(',').map(|delay| delay.trim().parse().ok()).collect::<Option<_>>()?;
    let sound =
        delays.iter().all(|delay| (1..=86_400_000).contains(delay)) && delays.is_sorted_by(|a, b| a < b);
    sound.then(|| delays.into_iter().map(Duration::from_millis).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<BrokerConfig, String> {
        let mut env = Environment::from_pairs(
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let config = BrokerConfig::from_env(&mut env);
        env.finish().map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_environment_means_the_broker_on_this_machine() {
        let config = read(&[]).expect("the defaults are sound");

        assert_eq!(config.to_string(), "127.0.0.1:5672/");
        assert_eq!(config.uri.query.heartbeat, Some(5));
        assert_eq!(config.retry_delays, [1, 5, 25].map(Duration::from_secs));
    }

    #[test]
    fn addresses_are_read_in_their_usual_shapes() {
        for (url, broker) in [
            ("amqp://rabbitmq", "rabbitmq:5672/"),
            ("amqp://rabbitmq/", "rabbitmq:5672/"),
            ("amqp://u:p@rabbitmq:5673/%2f", "rabbitmq:5673/"),
            ("amqp://u:p@10.0.0.7/warren?heartbeat=60", "10.0.0.7:5672/warren"),
            ("amqp://u:p@[::1]:5673/", "[::1]:5673/"),
        ] {
            let config = BrokerConfig::for_url(url).expect(url);

            assert_eq!(config.to_string(), broker);
            assert_eq!(config.uri.query.heartbeat, Some(5), "{url}");
        }
    }

    #[test]
    fn no_mistake_and_no_debug_output_shows_the_password() {
        for url in ["amqp://u:secret@:5672", "http://u:secret@host", "amqps://u:secret@host", "u:secret@host"]
        {
            let mistake = read(&[("AMQP_URL", url)]).expect_err(url);

            assert!(mistake.starts_with("AMQP_URL must"), "{mistake}");
            assert!(!mistake.contains("secret"), "{mistake}");
        }
        let config = BrokerConfig::for_url("amqp://u:secret@host").expect("a sound address");
        assert!(!format!("{config:?} {config}").contains("secret"));
    }

    #[test]
    fn senseless_bounds_are_refused() {
        for (name, value) in [
            ("BROKER_PREFETCH", "0"),
            ("BROKER_PREFETCH", "70000"),
            ("BROKER_CONFIRM_TIMEOUT_MS", "0"),
            ("BROKER_RECONNECT_MIN_MS", "5000"),
            ("BROKER_RETRY_DELAYS_MS", "1000,,5000"),
            ("BROKER_RETRY_DELAYS_MS", "5000,1000"),
            ("BROKER_RETRY_DELAYS_MS", "0"),
        ] {
            let mistake = read(&[(name, value)]).expect_err(value);

            assert!(mistake.contains(name), "{mistake}");
        }
    }
}
