//! The other end of the control socket: what tests, chaos and `warren fault` give orders with.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, sleep, timeout};

use super::socket::connect;
use super::{Answer, Fired, Order, Rule, Selection};

/// A broker that runs answers at once; one that was stopped, never.
const DEADLINE: Duration = Duration::from_secs(10);

/// The pause between two looks at the rules.
const POLL: Duration = Duration::from_millis(10);

/// Gives orders to an embedded broker, over a connection of its own for each.
#[derive(Clone, Debug)]
pub struct Control {
    socket: PathBuf,
}

/// Why an order was not carried out.
#[derive(Debug)]
pub enum ControlError {
    /// Nobody listens on the socket.
    Unreachable {
        /// Which.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The broker ended, or did not answer within ten seconds.
    NoAnswer,
    /// It answered something else than an answer.
    BadAnswer(String),
    /// It said no, for this reason.
    Refused(String),
    /// The rule did not fire so often in time.
    NotFired {
        /// How often it should have.
        times: u64,
        /// What became of it.
        rule: Box<Fired>,
    },
    /// There is no rule of this id, any more.
    NoSuchRule(u64),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { socket, source } => {
                write!(f, "no embedded broker listens on {}: {source}", socket.display())
            }
            Self::NoAnswer => f.write_str("the embedded broker did not answer"),
            Self::BadAnswer(line) => write!(f, "the embedded broker answered {line:?}"),
            Self::Refused(reason) => f.write_str(reason),
            Self::NotFired { times, rule } => {
                let Fired { id, rule, met, fired } = &**rule;
                write!(
                    f,
                    "rule {id} fired {fired} times instead of {times} and met {met} occasions: {rule:?}"
                )
            }
            Self::NoSuchRule(id) => write!(f, "there is no rule {id}: it was cleared, or never made"),
        }
    }
}

impl Error for ControlError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Control {
    /// The broker whose control socket this is.
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.into() }
    }

    /// Where it is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Gives an order and waits until it is carried out.
    ///
    /// # Errors
    ///
    /// It was not. The end of the broker is no error where it was the order.
    pub async fn order(&self, order: &Order) -> Result<Answer, ControlError> {
        let answer = match timeout(DEADLINE, self.ask(order)).await.unwrap_or(Err(ControlError::NoAnswer)) {
            Err(ControlError::NoAnswer) if *order == Order::Crash => Answer::done(),
            answer => answer?,
        };
        match answer {
            Answer { ok: true, .. } => Ok(answer),
            Answer { error, .. } => Err(ControlError::Refused(error.unwrap_or_default())),
        }
    }

    async fn ask(&self, order: &Order) -> Result<Answer, ControlError> {
        let unreachable = |source| ControlError::Unreachable { socket: self.socket.clone(), source };
        let mut stream = BufReader::new(connect(&self.socket).await.map_err(unreachable)?);
        let mut line = serde_json::to_string(order).map_err(|_| ControlError::NoAnswer)?;
        line.push('\n');
        stream.write_all(line.as_bytes()).await.map_err(|_| ControlError::NoAnswer)?;

        let mut answer = String::new();
        match stream.read_line(&mut answer).await {
            Ok(1..) => serde_json::from_str(&answer).map_err(|_| ControlError::BadAnswer(answer)),
            _ => Err(ControlError::NoAnswer),
        }
    }

    /// Closes the sockets of these connections without a word.
    ///
    /// # Errors
    ///
    /// Those of [`Control::order`], as of all that follow.
    pub async fn drop_connections(&self, connections: Selection) -> Result<(), ControlError> {
        self.order(&Order::Drop { connections }).await.map(drop)
    }

    /// Adds a rule and gives its id.
    ///
    /// # Errors
    ///
    /// Also where the rule makes no sense.
    pub async fn rule(&self, rule: Rule) -> Result<u64, ControlError> {
        let answer = self.order(&Order::Rule(rule)).await?;
        answer.rule.ok_or_else(|| ControlError::BadAnswer("no id of the rule".into()))
    }

    /// Removes every rule.
    ///
    /// # Errors
    ///
    /// Those of [`Control::order`].
    pub async fn clear_rules(&self) -> Result<(), ControlError> {
        self.order(&Order::ClearRules).await.map(drop)
    }

    /// Lets go on what rules hold.
    ///
    /// # Errors
    ///
    /// Those of [`Control::order`].
    pub async fn release(&self) -> Result<(), ControlError> {
        self.order(&Order::Release).await.map(drop)
    }

    /// How the broker is.
    ///
    /// # Errors
    ///
    /// Those of [`Control::order`].
    pub async fn status(&self) -> Result<Value, ControlError> {
        let answer = self.order(&Order::Status).await?;
        answer.status.ok_or_else(|| ControlError::BadAnswer("no status".into()))
    }

    /// What became of each rule.
    ///
    /// # Errors
    ///
    /// Those of [`Control::order`].
    pub async fn rules(&self) -> Result<Vec<Fired>, ControlError> {
        let status = self.status().await?;
        serde_json::from_value(status["rules"].clone())
            .map_err(|error| ControlError::BadAnswer(error.to_string()))
    }

    /// Waits until a rule has fired at least so often. Nobody can wait so for a rule that ends the broker.
    ///
    /// # Errors
    ///
    /// It did not within the deadline, or is not known, or the broker does not answer.
    pub async fn wait_fired(&self, id: u64, times: u64, deadline: Duration) -> Result<(), ControlError> {
        let until = Instant::now() + deadline;
        loop {
            let found = self.rules().await?.into_iter().find(|fired| fired.id == id);
            let rule = found.ok_or(ControlError::NoSuchRule(id))?;
            if rule.fired >= times {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(ControlError::NotFired { times, rule: Box::new(rule) });
            }
            sleep(POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::broker::faults::{Effect, Moment, Occasion, Rules, listen, serve, socket_in};
    use crate::harness::Folder;

    const PUBLISH: Occasion<'_> = Occasion {
        moment: Moment::PublishReceived,
        connection: "",
        queue: "",
        exchange: "",
        routing_key: "q",
        method: "",
    };

    /// A core with rules, which meet a publish at every status.
    fn controlled(folder: &Folder) -> Control {
        let (orders, mut received) = mpsc::unbounded_channel();
        tokio::spawn(serve(listen(folder.path()).expect("the folder is new"), orders));
        tokio::spawn(async move {
            let mut rules = Rules::new();
            while let Some((order, answer)) = received.recv().await {
                let answered = match order {
                    Order::Rule(rule) => Answer::added(rules.add(rule)),
                    Order::ClearRules => {
                        rules.clear();
                        Answer::done()
                    }
                    Order::Status => {
                        rules.meet(&PUBLISH);
                        Answer::status(&rules.fired(), serde_json::json!({ "connections": 0 }))
                    }
                    _ => Answer::done(),
                };
                answer.send(answered).expect("it is waited for");
            }
        });
        Control::at(&socket_in(folder.path()))
    }

    fn drop_at_publish() -> Rule {
        Rule::new(Moment::PublishReceived, Effect::Drop)
    }

    #[tokio::test]
    async fn a_rule_is_made_and_waited_for() {
        let folder = Folder::new();
        let control = controlled(&folder);

        let id = control.rule(drop_at_publish().skip(3).times(2)).await.expect("it makes sense");
        control.wait_fired(id, 2, Duration::from_secs(10)).await.expect("it fires");

        let rules = control.rules().await.expect("it answers");
        assert_eq!((rules[0].id, rules[0].met, rules[0].fired), (id, 5, 2));
        control.clear_rules().await.expect("it answers");
        assert_eq!(control.rules().await.expect("it answers"), []);
    }

    #[tokio::test]
    async fn a_rule_that_does_not_fire_in_time_is_told_from_one_that_is_not_there() {
        let folder = Folder::new();
        let control = controlled(&folder);
        let id = control.rule(drop_at_publish().skip(1_000_000)).await.expect("it makes sense");

        let late = control.wait_fired(id, 1, Duration::from_millis(30)).await.expect_err("it does not");
        assert!(late.to_string().contains("fired 0 times instead of 1"), "{late}");
        let unknown = control.wait_fired(id + 1, 1, Duration::ZERO).await.expect_err("there is none");
        assert!(matches!(unknown, ControlError::NoSuchRule(2)), "{unknown}");
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_in_the_brokers_words() {
        let folder = Folder::new();
        let control = controlled(&folder);

        let error = control.rule(Rule::new(Moment::AckStored, Effect::Twice)).await.expect_err("no sense");

        assert_eq!(error.to_string(), "twice means nothing at ack-stored: it is possible at before-delivery");
    }

    #[tokio::test]
    async fn where_no_broker_runs_the_error_names_the_socket() {
        let folder = Folder::new();
        let socket = socket_in(folder.path());

        let error = Control::at(&socket).status().await.expect_err("nobody is there");

        assert!(matches!(error, ControlError::Unreachable { .. }));
        assert!(error.to_string().contains(&socket.display().to_string()), "{error}");
    }
}
