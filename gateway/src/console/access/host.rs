use std::net::IpAddr;

use common::http::{Problem, StatusCode, Visit};

/// Refuses a request to any other name than this machine's own.
pub fn check(visit: &Visit<'_>) -> Result<(), Problem> {
    match visit.header("host") {
        Some(host) if is_loopback(host) => Ok(()),
        _ => Err(Problem::new(StatusCode::FORBIDDEN, "wrong host").detail(
            "without an ADMIN_TOKEN this port answers only to localhost, 127.0.0.1 and [::1] (Host)",
        )),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => return false,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // A name below `localhost` leads nowhere else either (RFC 6761 section 6.3), but browsers alone know that.
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for own in [
            "localhost",
            "localhost:8081",
            "LocalHost:1",
            "127.0.0.1:8081",
            "127.1.2.3",
            "[::1]:8081",
            "[::1]",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:8081",
            "[::1]evil",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
