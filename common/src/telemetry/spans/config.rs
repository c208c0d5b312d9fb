use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{SpanValue, otlp::Resource};
use crate::{config::Environment, telemetry::trace::Sampler};

/// Where spans are sent, and which.
#[derive(Clone, Debug)]
pub struct SpansConfig {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    /// How long the collector may take.
    pub(super) timeout: Duration,
    /// How many spans may wait.
    pub(super) queue: usize,
    /// How long a span waits for others to be sent with.
    pub(super) linger: Duration,
    pub(super) sampler: Sampler,
    pub(super) resource: Resource,
}

impl SpansConfig {
    /// Reads the variables that OpenTelemetry has for it; `None` where there is no collector.
    pub fn from_env(env: &mut Environment, service: &'static str) -> Option<Self> {
        let all = env.text("OTEL_EXPORTER_OTLP_ENDPOINT", "");
        let own = env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "");
        let (name, url) = match (all.as_str(), own.as_str()) {
            ("", "") => return None,
            (all, "") => ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{}/v1/traces", all.trim_end_matches('/'))),
            (_, own) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own.to_owned()),
        };
        if env.flag("OTEL_SDK_DISABLED", false) {
            return None;
        }
        check_url(env, name, &url);
        let protocol = env.text("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        if protocol != "http/json" {
            env.mistake(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL must be http/json, which is what is spoken here, not {protocol:?}"
            ));
        }
        let queue = env.parse("OTEL_BSP_MAX_QUEUE_SIZE", 4096, "a number of spans from 1");
        if queue == 0 {
            env.mistake("OTEL_BSP_MAX_QUEUE_SIZE must be a number of spans from 1, not 0");
        }
        let mut resource = Resource::of(service);
        for (key, value) in pairs(env, "OTEL_RESOURCE_ATTRIBUTES") {
            resource.set(key, SpanValue::from(value));
        }
        let name = env.text("OTEL_SERVICE_NAME", "");
        if !name.is_empty() {
            resource.set("service.name".to_owned(), SpanValue::from(name));
        }
        Some(Self {
            url,
            headers: headers(env),
            timeout: env.millis("OTEL_EXPORTER_OTLP_TIMEOUT", Duration::from_secs(10)),
            queue: queue.max(1),
            linger: env.millis("OTEL_BSP_SCHEDULE_DELAY", Duration::from_secs(1)),
            sampler: sampler(env),
            resource,
        })
    }
}

fn check_url(env: &mut Environment, name: &str, url: &str) {
    let sound = url.parse::<Uri>().is_ok_and(|url| {
        url.scheme_str() == Some("http") && url.authority().is_some_and(|host| !host.as_str().contains('@'))
    });
    if !sound {
        // Not as it was given: there may be a password in it.
        env.mistake(format!(
            "{name} must be a URL such as http://127.0.0.1:4318 (TLS, and who may send, are for a collector beside)"
        ));
    }
}

fn headers(env: &mut Environment) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(env, "OTEL_EXPORTER_OTLP_HEADERS") {
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            // The value is nobody's business.
            _ => env
                .mistake(format!("OTEL_EXPORTER_OTLP_HEADERS: {name:?} is no header, or its value is none")),
        }
    }
    headers
}

fn sampler(env: &mut Environment) -> Sampler {
    let name = env.text("OTEL_TRACES_SAMPLER", "parentbased_always_on");
    let (by_parent, kind) = match name.strip_prefix("parentbased_") {
        Some(kind) => (true, kind),
        None => (false, name.as_str()),
    };
    let ratio = match kind {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            let ratio = env.parse("OTEL_TRACES_SAMPLER_ARG", 1.0, "a part of all traces from 0 to 1");
            if !(0.0..=1.0).contains(&ratio) {
                env.mistake(format!(
                    "OTEL_TRACES_SAMPLER_ARG must be a part of all traces from 0 to 1, not {ratio}"
                ));
            }
            ratio
        }
        _ => {
            env.mistake(format!(
                "OTEL_TRACES_SAMPLER must be always_on, always_off or traceidratio, with parentbased_ in front or not, \
                 not {name:?}"
            ));
            1.0
        }
    };
    Sampler { by_parent, ratio }
}

/// Reads `a=1,b=2`, with values in percent-encoding.
fn pairs(env: &mut Environment, name: &str) -> Vec<(String, String)> {
    let text = env.text(name, "");
    let mut pairs = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=').and_then(|(key, value)| Some((key.trim(), decoded(value.trim())?))) {
            Some((key, value)) if !key.is_empty() => pairs.push((key.to_owned(), value)),
            _ => env.mistake(format!("{name} must be of the form name=value,name=value")),
        }
    }
    pairs
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Option<SpansConfig>, String) {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Environment::from_pairs(pairs);
        let config = SpansConfig::from_env(&mut env, "users");
        (config, env.finish().err().map(|mistakes| mistakes.to_string()).unwrap_or_default())
    }

    #[test]
    fn without_a_collector_nothing_is_read() {
        let (config, mistakes) =
            read(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "some")]);

        assert!(config.is_none() && mistakes.is_empty(), "{mistakes}");
    }

    #[test]
    fn the_standards_variables_are_understood() {
        let (config, mistakes) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x, x-tenant = a"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);

        let config = config.unwrap_or_else(|| panic!("{mistakes}"));
        assert_eq!(mistakes, "");
        assert_eq!(config.url, "http://collector:4318/v1/traces");
        assert_eq!(config.headers["authorization"], "Bearer x");
        assert_eq!(config.headers["x-tenant"], "a");
        assert_eq!(config.sampler, Sampler { by_parent: true, ratio: 0.25 });
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        let (_, mistakes) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:secret@collector"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "bad name=secret"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_RESOURCE_ATTRIBUTES", "secret"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ]);

        for name in ["ENDPOINT", "HEADERS", "PROTOCOL", "SAMPLER", "RESOURCE_ATTRIBUTES", "QUEUE_SIZE"] {
            assert!(mistakes.contains(name), "{name} in {mistakes}");
        }
        assert!(!mistakes.contains("secret"), "{mistakes}");
    }
}
