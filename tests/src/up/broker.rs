//! Which broker the system runs on.

use std::env;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use common::broker::BrokerConfig;
use tokio::time::sleep;

use super::options::BrokerChoice;
use super::screen::{Screen, Voice};
use crate::rabbit::{Keep, Node, preflight};

const WELL_KNOWN: u16 = 5672;

/// What one should know of a broker that nobody chose.
const SHARED: [&str; 2] = [
    "broker: systems on one broker and virtual host share their queues: never run two Warrens on this one",
    "broker: with --broker rabbitmq, a private node is started instead, and brought back when it is killed",
];

/// How often the launcher looks whether its private node still lives.
const LOOK: Duration = Duration::from_millis(100);

/// How long it waits before it starts a node again that could not start.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The broker, and the node where it is the launcher's own.
pub(super) struct Broker {
    pub url: String,
    pub node: Option<Node>,
}

/// Returns the URL that somebody gave, and by what means.
///
/// # Errors
/// Names the option or variable whose URL no service could use.
pub(super) fn given(choice: &BrokerChoice) -> Result<Option<(String, &'static str)>, String> {
    let (url, by) = match choice {
        BrokerChoice::Url(url) => (url.clone(), "--broker"),
        BrokerChoice::RabbitMq => return Ok(None),
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
        screen.say(Voice::LAUNCHER, format_args!("broker: {}, {how}", without_password(&url)));
        Ok(Broker { url, node: None })
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

    screen.say(Voice::LAUNCHER, "broker: starting a private RabbitMQ node, which takes some seconds");
    let node = Node::prepare(&data.join("rabbitmq"), Keep::Data, &[])?;
    let server = node.start().await?;
    let (url, pid, logs) = (node.url("/"), node.pid().unwrap_or_default(), node.logs());
    screen.say(
        Voice::LAUNCHER,
        format_args!("broker: {server}, a private node at {url} (process {pid}, logs in {})", logs.display()),
    );
    Ok(Broker { url, node: Some(node) })
}

/// Brings the private node back whenever it dies.
pub(super) async fn keep(node: &Node, screen: Screen) {
    let say = |line: String| screen.say(Voice::LAUNCHER, line);
    loop {
        sleep(LOOK).await;
        let Some(status) = node.exit_status() else { continue };

        say(format!("rabbitmq ended ({status}), starting it again"));
        while let Err(error) = node.start().await {
            say(format!("rabbitmq did not start: {error}"));
            sleep(AFTER_FAILURE).await;
        }
        say(format!("rabbitmq is back as process {}", node.pid().unwrap_or_default()));
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
