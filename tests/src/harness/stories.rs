//! One list of stories, told on each broker: the runner behind the suites that have a `main` of their own.
//!
//! A story is an async function without arguments that panics when something is not as it should be. Its file lists it:
//!
//! ```
//! async fn a_queue_keeps_what_it_gets() {}
//! async fn names_are_sorted() {}
//!
//! warren::stories! {
//!     on both brokers: a_queue_keeps_what_it_gets;
//!     without a broker: names_are_sorted;
//! }
//! # fn main() { assert_eq!(stories().len(), 2); }
//! ```
//!
//! The list becomes the trials `embedded::queues::a_queue_keeps_what_it_gets`, `rabbitmq::queues::…` and
//! `queues::names_are_sorted`. A story that is on no list is dead code, and the compiler says so.

use std::cell::Cell;
use std::env;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::process::ExitCode;
use std::thread;

use libtest_mimic::{Arguments, Trial};

use crate::rabbit::Installation;

/// Names a broker that the suites did not start, for the stories that can be told on any: `amqp://…`.
pub const GIVEN: &str = "WARREN_BROKER_URL";

/// A broker that stories are told on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// Warren's own.
    Embedded,
    /// The installed RabbitMQ.
    RabbitMq,
    /// The one that [`GIVEN`] names. Nobody may stop it, and its virtual host is shared by all stories.
    Given,
}

impl BrokerKind {
    /// The first part of a trial's name.
    fn prefix(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::RabbitMq => "rabbitmq",
            Self::Given => "given",
        }
    }

    /// Says why no story can be told on it, and what to do about that.
    fn missing(self) -> Option<String> {
        match self {
            Self::Embedded => Some("the embedded broker is not there yet".into()),
            Self::RabbitMq => Installation::find().err().map(|error| error.to_string()),
            Self::Given => None,
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "the embedded broker",
            Self::RabbitMq => "RabbitMQ",
            Self::Given => "the broker that WARREN_BROKER_URL names",
        })
    }
}

/// Where a story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Once on each broker that there is, also on a given one: it neither harms its broker nor needs it for itself.
    AnyBroker,
    /// On the embedded broker and on RabbitMQ.
    BothBrokers,
    /// On the embedded broker only, because it needs a fault at an exact moment.
    Embedded,
    /// On RabbitMQ only.
    RabbitMq,
    /// Once: it needs no broker.
    None,
}

impl On {
    fn brokers(self, is_given: bool) -> Vec<Option<BrokerKind>> {
        let both = [Some(BrokerKind::Embedded), Some(BrokerKind::RabbitMq)];
        match self {
            Self::AnyBroker if is_given => [&both[..], &[Some(BrokerKind::Given)]].concat(),
            Self::AnyBroker | Self::BothBrokers => both.into(),
            Self::Embedded => vec![Some(BrokerKind::Embedded)],
            Self::RabbitMq => vec![Some(BrokerKind::RabbitMq)],
            Self::None => vec![None],
        }
    }
}

/// A story as [`stories!`](crate::stories) lists it.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// The function's name, a sentence.
    pub name: &'static str,
    /// Tells it. It panics where the story goes wrong.
    pub run: fn() -> Pin<Box<dyn Future<Output = ()>>>,
    /// Where it is told.
    pub on: On,
}

/// Lists the stories of a file as its `pub fn stories()`, by where they are told: `on any broker`, `on both brokers`, `on the embedded broker`, `on rabbitmq`,
/// `without a broker`, each followed by `:`, names and `;`.
#[macro_export]
macro_rules! stories {
    (@on any broker) => { $crate::harness::On::AnyBroker };
    (@on both brokers) => { $crate::harness::On::BothBrokers };
    (@on the embedded broker) => { $crate::harness::On::Embedded };
    (@on rabbitmq) => { $crate::harness::On::RabbitMq };
    (@without a broker) => { $crate::harness::On::None };
    (@list $on:expr, $($name:ident)*) => {
        [$($crate::harness::Story { name: stringify!($name), run: || Box::pin($name()), on: $on }),*]
    };
    ($($word:ident $($words:ident)+: $($name:ident),+ $(,)?);+ $(;)?) => {
        /// What this file tells, and where.
        pub fn stories() -> Vec<$crate::harness::Story> {
            let mut stories = Vec::new();
            $(stories.extend($crate::stories!(@list $crate::stories!(@$word $($words)+), $($name)+));)+
            stories
        }
    };
}

/// Collects the stories of the files that it names, for [`run`].
#[macro_export]
macro_rules! stories_of {
    ($($file:ident),+ $(,)?) => { vec![$((stringify!($file), $file::stories())),+] };
}

/// Runs the stories of each file as libtest would, with its arguments, and returns what `main` should.
///
/// Each has a thread of its own, which bears its name, and a runtime on that thread. Where a broker is missing, its trials
/// are listed as ignored, and one line on standard error says why.
pub fn run(stories: Vec<(&'static str, Vec<Story>)>) -> ExitCode {
    let arguments = Arguments::from_args();
    let is_given = env::var_os(GIVEN).is_some();

    let mut trials = Vec::new();
    for (file, stories) in stories {
        for story in stories {
            trials.extend(story.on.brokers(is_given).into_iter().map(|broker| (broker, file, story)));
        }
    }
    // All of one broker together, so that no more nodes are busy than there must be.
    trials.sort_by_key(|(broker, ..)| broker.map(BrokerKind::prefix));
    let missing: Vec<_> = [BrokerKind::Embedded, BrokerKind::RabbitMq]
        .into_iter()
        .filter(|kind| trials.iter().any(|(broker, ..)| *broker == Some(*kind)))
        .filter_map(|kind| Some((kind, kind.missing()?)))
        .collect();
    for (kind, why) in missing.iter().filter(|_| !arguments.list) {
        eprintln!("nothing is told on {kind}: {why}");
    }

    let is_missing = |broker| missing.iter().any(|(kind, _)| Some(*kind) == broker);
    let trials = trials
        .into_iter()
        .map(|(broker, file, story)| trial(broker, file, story).with_ignored_flag(is_missing(broker)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(broker: Option<BrokerKind>, file: &str, story: Story) -> Trial {
    let name = match broker {
        Some(broker) => format!("{}::{file}::{}", broker.prefix(), story.name),
        None => format!("{file}::{}", story.name),
    };

    let thread = thread::Builder::new().name(name.clone());
    Trial::test(name, move || {
        let told = thread.spawn(move || {
            CURRENT.set(broker);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on((story.run)());
            Ok(())
        });
        // A panic goes on, for its message to stand beside the name in the list of failures.
        told?
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
            .map_err(|error: std::io::Error| error.into())
    })
}

thread_local! {
    static CURRENT: Cell<Option<BrokerKind>> = const { Cell::new(None) };
}

/// The broker that the story of this thread is told on.
///
/// # Panics
///
/// Outside of a story, and in one that is told without a broker.
pub fn current_broker() -> BrokerKind {
    CURRENT.get().expect("only a story that is listed `on` a broker has one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_broker_hears_only_what_any_broker_may_hear() {
        let count = |on: On, is_given| on.brokers(is_given).len();

        assert_eq!((count(On::AnyBroker, false), count(On::AnyBroker, true)), (2, 3));
        assert_eq!((count(On::BothBrokers, true), count(On::None, true)), (2, 1));
    }
}
