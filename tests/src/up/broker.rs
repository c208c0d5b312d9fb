//! Which broker the system runs on.

use std::env;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use common::broker::BrokerConfig;
use jiff::Timestamp;
use tokio::time::sleep;

use super::admin::{Admin, Outage};
use super::options::BrokerChoice;
use super::screen::{Screen, Voice};
use crate::Keep;
use crate::broker::EmbeddedNode;
use crate::command::with_causes;
use crate::last_end::in_words;
use crate::own_broker::Broker as Node;
use crate::rabbit::{self, Installation, preflight};

const WELL_KNOWN: u16 = 5672;

/// What one should know of a broker that nobody chose.
const SHARED: [&str; 2] = [
    "broker: systems on one broker and virtual host share their queues: never run two Warrens on this one",
    "broker: with --broker rabbitmq or embedded, one of its own is started instead, and brought back when it is killed",
];

/// What one should know of the embedded broker.
const PURPOSE: &str = "for development, tests and demos on one machine, production uses RabbitMQ";

/// How often the launcher looks whether its own broker still lives.
const LOOK: Duration = Duration::from_millis(100);

/// How long it waits before it starts a broker again that could not start.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The broker, and its process where it is the launcher's own.
pub(super) struct Broker {
    pub url: String,
    /// In a few words.
    pub what: String,
    pub node: Option<Node>,
}

/// Returns the URL that somebody gave, and by what means.
///
/// # Errors
/// Names the option or variable whose URL no service could use.
pub(super) fn given(choice: &BrokerChoice) -> Result<Option<(String, &'static str)>, String> {
    let (url, by) = match choice {
        BrokerChoice::Url(url) => (url.clone(), "--broker"),
        BrokerChoice::RabbitMq | BrokerChoice::Embedded => return Ok(None),
        BrokerChoice::Auto => match env::var("AMQP_URL") {
            Ok(url) if !url.trim().is_empty() => (url.trim().to_owned(), "AMQP_URL"),
            _ => return Ok(None),
        },
    };
    match BrokerConfig::for_url(&url) {
        Ok(_) => Ok(Some((url, by))),
        Err(mistake) => Err(format!("{by} {mistake}")),
    }
}

/// Finds or starts the broker, and says which.
pub(super) async fn choose(
    choice: &BrokerChoice,
    data: &Path,
    screen: Screen,
) -> Result<Broker, Box<dyn Error>> {
    let found = |url: String, how: &str| {
        let what = format!("{}, {how}", without_password(&url));
        screen.say(Voice::LAUNCHER, format_args!("broker: {what}"));
        Ok(Broker { url, what, node: None })
    };

    if let Some((url, by)) = given(choice)? {
        return found(url, &format!("given by {by}"));
    }
    if *choice == BrokerChoice::Auto {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, WELL_KNOWN));
        if let Ok(server) = preflight(address).await {
            let broker = found(
                format!("amqp://guest:guest@{address}/%2f"),
                &format!("the machine's own {server}, which is not started again here when it dies"),
            );
            SHARED.iter().for_each(|line| screen.say(Voice::LAUNCHER, line));
            return broker;
        }
    }

    let node = match choice {
        BrokerChoice::Embedded => embedded(data)?,
        BrokerChoice::Auto if Installation::find().is_err() => {
            screen.say(Voice::LAUNCHER, "broker: no RabbitMQ is given, listens on port 5672 or is installed");
            embedded(data)?
        }
        _ => {
            let line = "broker: starting a private RabbitMQ node, which takes some seconds";
            screen.say(Voice::LAUNCHER, line);
            Node::RabbitMq(rabbit::Node::prepare(&data.join("rabbitmq"), Keep::Data, &[])?)
        }
    };
    let server = node.start().await?;
    let (url, pid, logs) = (node.url("/"), node.pid().unwrap_or_default(), node.logs());
    let (what, note) = match &node {
        Node::RabbitMq(_) => (format!("{server}, a private node"), String::new()),
        Node::Embedded(_) => ("the embedded one".into(), format!("; it is {PURPOSE}")),
    };
    screen.say(
        Voice::LAUNCHER,
        format_args!("broker: {what} at {url} (process {pid}, logs in {}){note}", logs.display()),
    );
    Ok(Broker { url, what: what + &note, node: Some(node) })
}

/// This binary's own broker, with its data in the folder `broker`.
fn embedded(data: &Path) -> Result<Node, Box<dyn Error>> {
    let warren = env::current_exe()?;
    Ok(Node::Embedded(EmbeddedNode::prepare(&warren, &data.join("broker"), Keep::Data, &[])?))
}

/// What the launcher's own broker is called in its lines.
pub(super) fn name(node: &Node) -> &'static str {
    if node.embedded().is_some() { "broker" } else { "rabbitmq" }
}

/// Brings the launcher's own broker back whenever it dies, and has the gateway's timeline show it.
pub(super) async fn keep(node: &Node, admin: &Admin, screen: Screen) {
    let say = |line: String| screen.say(Voice::LAUNCHER, line);
    let name = name(node);
    loop {
        sleep(LOOK).await;
        let Some(status) = node.exit_status() else { continue };

        let (cause, at) = (in_words(status), Timestamp::now());
        say(format!("{name} ended ({cause}), starting it again"));
        while let Err(error) = node.start().await {
            say(format!("{name} did not start: {}", with_causes(&error)));
            sleep(AFTER_FAILURE).await;
        }
        say(format!("{name} is back as process {}", node.pid().unwrap_or_default()));
        let outage = Outage { subject: "broker", cause, at, ended_at: Timestamp::now() };
        tokio::spawn(admin.clone().tell(outage, screen));
    }
}

/// The URL as it may be printed.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once('@').and_then(|(login, _)| login.split_once(':')) {
        Some((user, password)) => {
            format!("{scheme}://{user}:***{}", &rest[user.len() + 1 + password.len()..])
        }
        None => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_printed_without_its_password() {
        assert_eq!(without_password("amqp://me:se@cret@host:1/v?x=1"), "amqp://me:***@host:1/v?x=1");
        assert_eq!(without_password("amqp://host/v:@"), "amqp://host/v:@");
    }
}
