//! What the launcher prints when the system is ready: where everything is, and what to try.

use std::env;

use super::admin::Admin;
use super::broker::Broker;
use super::launcher::policies;
use super::options::{DEFAULT_ADMIN_PORT, Options};
use super::screen::Screen;

/// What one reads when the system is ready.
pub(super) fn welcome(options: &Options, admin: &Admin, broker: &Broker, screen: Screen) {
    let Options { gateway_port, users_port, orders_port, .. } = options;
    let api = format!("http://localhost:{gateway_port}/api");
    let admission = Admission::of_environment();
    let json = format!(r#"-H "Content-Type: application/json"{}"#, admission.header());
    let text = format!(
        r#"
gateway  http://localhost:{gateway_port}, the only public entry
users    http://localhost:{users_port}, internal
orders   http://localhost:{orders_port}, internal
console  {console}
         {token}
API      http://localhost:{gateway_port}/api/docs/
broker   {broker}
{admission}

  curl -X POST {api}/orders {json} -d '{{"userId":"u1","items":["book"]}}'
  curl {api}/users/u1{header}
  curl -X POST {api}/users {json} -d '{{"name":"Grace","email":"grace@example.com"}}'
  curl -X POST {api}/orders {json} -d '{{"userId":"nobody","items":["book"]}}'

Ctrl-C ends it. Its data is in {data}.

"#,
        broker = broker.what,
        header = admission.header(),
        console = console(admin, demo_faults(), &admission),
        token = token(admin),
        data = options.data.display(),
        admission = admission.text(&api),
    );
    screen.show(&text);
}

/// Where the console is, what one can do there, and how to have it in a terminal.
fn console(admin: &Admin, may_break: bool, admission: &Admission) -> String {
    let url = admin.url();
    let top = match url == format!("http://127.0.0.1:{DEFAULT_ADMIN_PORT}") {
        true => "cargo top".to_owned(),
        false => format!("cargo top --admin {url}"),
    };
    let breaks = match (may_break, admission) {
        (true, Admission::Required) => {
            "it could break things, because DEMO_FAULTS is true, if AUTH were open"
        }
        (true, _) => "it can break things, because DEMO_FAULTS is true",
        (false, _) => "with DEMO_FAULTS=true it can break things",
    };
    format!("{url}, or in a terminal: {top}; {breaks}")
}

/// Whom it lets in.
fn token(admin: &Admin) -> &'static str {
    match admin.has_token() {
        true => "asks for the token that ADMIN_TOKEN says",
        false => "asks nobody on this machine for a token; ADMIN_TOKEN changes that",
    }
}

/// As the services read it.
fn demo_faults() -> bool {
    env::var("DEMO_FAULTS").is_ok_and(|value| value.trim() == "true")
}

/// What the gateway asks of its clients, as far as that is known here.
enum Admission {
    Open,
    Required,
    /// By a file.
    Unknown,
}

impl Admission {
    fn of_environment() -> Self {
        match env::var("AUTH").as_deref().map(str::trim) {
            Ok("open") => Self::Open,
            Ok("required") => Self::Required,
            _ if policies().iter().any(|(name, _)| *name == "AUTH") => Self::Open,
            _ => Self::Unknown,
        }
    }

    /// What a request says of who asks.
    fn header(&self) -> &'static str {
        match self {
            Self::Required => r#" -H "Authorization: Bearer $TOKEN""#,
            Self::Open | Self::Unknown => "",
        }
    }

    fn text(&self, api: &str) -> String {
        let login = format!(
            r#"TOKEN=$(curl -s -X POST {api}/users/sessions -H "Content-Type: application/json" -d '{{"email":"ada@example.com","password":"correct horse battery"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')"#
        );
        match self {
            Self::Open => {
                "auth     open: everybody may do everything without a token; AUTH=required changes that"
                    .into()
            }
            Self::Required => {
                format!("auth     required; this gets the token of the demo's user\n\n  {login}")
            }
            Self::Unknown => {
                format!(
                    "auth     as GATEWAY_CONFIG says; where a token is required, this gets one\n\n  {login}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_named_with_what_it_can_do_and_whom_it_lets_in() {
        let (usual, other) = (Admin::at(DEFAULT_ADMIN_PORT, "", ""), Admin::at(9999, "", "correct battery"));

        assert_eq!(
            console(&usual, true, &Admission::Open),
            "http://127.0.0.1:8081, or in a terminal: cargo top; it can break things, because DEMO_FAULTS is true"
        );
        assert!(
            console(&other, false, &Admission::Open)
                .contains("cargo top --admin http://127.0.0.1:9999; with DEMO_FAULTS=true")
        );
        assert!(console(&usual, true, &Admission::Required).ends_with("if AUTH were open"));
        assert!(token(&usual).contains("asks nobody"));
        assert_eq!(token(&other), "asks for the token that ADMIN_TOKEN says");
    }
}
