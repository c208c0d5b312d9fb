//! By which names the admin port is reached: a page of somewhere else can let a name of its own lead here (DNS
//! rebinding), and then the browser takes it for the console's; but the name shows in `Host`.

use std::net::IpAddr;

use common::http::{Problem, StatusCode, Visit};

/// The names of the admin port besides those of the loopback interface (`ADMIN_NAMES`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminNames(Vec<String>);

impl AdminNames {
    /// Takes names and addresses that are separated by commas.
    ///
    /// # Errors
    /// Names those that are none, and says what one looks like.
    pub fn parse(raw: &str) -> Result<Self, Vec<String>> {
        let entries = raw.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let (names, others): (Vec<_>, Vec<_>) = entries.partition(|entry| is_name(entry));
        if others.is_empty() {
            return Ok(Self(names.into_iter().map(str::to_owned).collect()));
        }
        let mistake = |other| {
            format!(
                "must be names without scheme and port, such as gateway.example, separated by commas, not {other:?}"
            )
        };
        Err(others.into_iter().map(mistake).collect())
    }

    /// Refuses a request to any other name.
    ///
    /// # Errors
    /// 403, and how to make this name one of its own.
    pub fn check(&self, visit: &Visit<'_>) -> Result<(), Problem> {
        match visit.header("host").and_then(name_of) {
            Some(name) if self.contain(name) => Ok(()),
            _ => Err(Problem::new(StatusCode::FORBIDDEN, "wrong host").detail(
                "this port answers to localhost, 127.0.0.1, [::1] and the names in the gateway's ADMIN_NAMES (Host); \
                 to use it by another name, add that to ADMIN_NAMES",
            )),
        }
    }

    fn contain(&self, name: &str) -> bool {
        is_loopback(name) || self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Whether a browser sent this. What is none says nothing of the kind; and a page can neither leave out `Accept-Language`
/// nor, in what it sends to its own origin, anything else that its browser adds. `Origin` and `Sec-Fetch-*` alone are not
/// enough: a page that came over plain HTTP asks its own origin without them.
pub fn is_of_browser(visit: &Visit<'_>) -> bool {
    const SIGNS: [&str; 8] = [
        "origin",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-fetch-dest",
        "sec-fetch-user",
        "accept-language",
        "referer",
        "cookie",
    ];
    SIGNS.iter().any(|sign| visit.has(sign))
}

/// A name of DNS, or an address; IPv6 without brackets.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.parse::<IpAddr>().is_ok() || name.split('.').all(is_label)
}

/// `Host` without its port and, where it is an address of IPv6, without brackets.
fn name_of(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (port.is_empty() || port.starts_with(':')).then_some(address)
        }
        None => Some(host.split_once(':').map_or(host, |(name, _)| name)),
    }
}

fn is_loopback(name: &str) -> bool {
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // A name below `localhost` leads nowhere else either (RFC 6761 section 6.3), but browsers alone know that.
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own(names: &str, host: &str) -> bool {
        let names = AdminNames::parse(names).expect("good names");
        name_of(host).is_some_and(|name| names.contain(name))
    }

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
            assert!(is_own("", own), "{own}");
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
            assert!(!is_own("", other), "{other}");
        }
    }

    #[test]
    fn names_that_somebody_gave_it_are_its_own_too() {
        let names = "Gateway.example, admin , 10.0.0.1,fd00::1";

        for own in [
            "gateway.example:8081",
            "GATEWAY.EXAMPLE",
            "admin",
            "10.0.0.1:8081",
            "[fd00::1]:8081",
            "localhost",
        ] {
            assert!(is_own(names, own), "{own}");
        }
        for other in
            ["evil.example", "x.gateway.example", "gateway.example.evil", "10.0.0.2", "[fd00::2]", ""]
        {
            assert!(!is_own(names, other), "{other}");
        }
    }

    #[test]
    fn what_is_no_name_is_named() {
        let said =
            AdminNames::parse("good.example,http://a.example,*,b.example:8081,[::1],c..d").expect_err("five");

        for (mistake, other) in said.iter().zip(["http://a.example", "*", "b.example:8081", "[::1]", "c..d"])
        {
            assert!(
                mistake.contains("must be names") && mistake.ends_with(&format!("{other:?}")),
                "{mistake}"
            );
        }
        assert_eq!(said.len(), 5);
    }
}
