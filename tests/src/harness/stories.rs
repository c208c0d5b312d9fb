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

use std::cell::{Cell, RefCell};
use std::env;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};

use super::broker::{BrokerKind, GIVEN, use_binary};

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
    ($($file:ident),* $(,)?) => {
        $crate::harness::Stories {
            warren: env!("CARGO_BIN_EXE_warren"),
            files: vec![$((stringify!($file), $file::stories())),*],
        }
    };
}

/// What a suite has to tell, as [`stories_of!`](crate::stories_of) collects it.
#[derive(Debug)]
pub struct Stories {
    /// The binary that the suite was built with, which is also the embedded broker.
    pub warren: &'static str,
    /// Each file's name and stories.
    pub files: Vec<(&'static str, Vec<Story>)>,
}

/// Runs the stories of each file as libtest would, with its arguments, and returns what `main` should.
///
/// Each has a thread of its own, which bears its name, and a runtime on that thread. Where a broker is missing, its trials
/// are listed as ignored, and one line on standard error says why.
pub fn run(stories: Stories) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(at_once);
    let is_given = env::var_os(GIVEN).is_some();
    use_binary(Path::new(stories.warren));

    let mut trials = Vec::new();
    for (file, stories) in stories.files {
        for story in stories {
            trials.extend(story.on.brokers(is_given).into_iter().map(|broker| (broker, file, story)));
        }
    }
    // All of one broker together, so that no more nodes are busy than there must be.
    trials.sort_by_key(|(broker, ..)| broker.map(prefix));
    let missing = if arguments.list { Vec::new() } else { announce(&trials, arguments.filter.as_deref()) };

    let trials = trials
        .into_iter()
        .map(|(broker, file, story)| {
            let is_missing = broker.is_some_and(|kind| missing.contains(&kind));
            trial(broker, file, story, arguments.nocapture).with_ignored_flag(is_missing)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// How many stories are told at a time: three more than there are cores, because most of them mostly wait.
fn at_once() -> usize {
    thread::available_parallelism().map_or(4, |cores| cores.get() + 3)
}

/// Says on which brokers the stories that the filter lets through are told, and why on one they are not. Returns those
/// that are missing.
fn announce(trials: &[(Option<BrokerKind>, &str, Story)], filter: Option<&str>) -> Vec<BrokerKind> {
    let is_asked_for = |&&(broker, file, story): &&(Option<BrokerKind>, &str, Story)| {
        filter.is_none_or(|filter| name(broker, file, story).contains(filter))
    };
    let mut missing = Vec::new();
    for kind in [BrokerKind::Embedded, BrokerKind::RabbitMq, BrokerKind::Given] {
        let count = trials.iter().filter(is_asked_for).filter(|(broker, ..)| *broker == Some(kind)).count();
        match kind.missing() {
            _ if count == 0 => {}
            None => eprintln!("told on {kind}: {count} stories"),
            Some(why) => {
                eprintln!("not told on {kind}: {count} stories: {why}");
                missing.push(kind);
            }
        }
    }
    missing
}

fn name(broker: Option<BrokerKind>, file: &str, story: Story) -> String {
    match broker {
        Some(broker) => format!("{}::{file}::{}", prefix(broker), story.name),
        None => format!("{file}::{}", story.name),
    }
}

fn trial(broker: Option<BrokerKind>, file: &str, story: Story, is_loud: bool) -> Trial {
    let name = name(broker, file, story);
    let thread = thread::Builder::new().name(name.clone());
    Trial::test(name, move || {
        let told = thread.spawn(move || {
            CURRENT.set(broker);
            IS_LOUD.set(is_loud);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let begun = Instant::now();
            let told = catch_unwind(AssertUnwindSafe(|| runtime.block_on((story.run)())));
            crate::note!("{}: {:.1} s", story.name, begun.elapsed().as_secs_f64());
            told.map_err(|panic| {
                NOTES.take().iter().for_each(|line| eprintln!("{line}"));
                resume_unwind(panic)
            })
        });
        // A panic goes on, for its message to stand beside the name in the list of failures.
        told?
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
            .map_err(|error: std::io::Error| error.into())
    })
}

/// The first part of a trial's name.
fn prefix(broker: BrokerKind) -> &'static str {
    match broker {
        BrokerKind::Embedded => "embedded",
        BrokerKind::RabbitMq => "rabbitmq",
        BrokerKind::Given => "given",
    }
}

thread_local! {
    static CURRENT: Cell<Option<BrokerKind>> = const { Cell::new(None) };
    static IS_LOUD: Cell<bool> = const { Cell::new(true) };
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Prints a line when the story of this thread fails, or at once with `--nocapture`: see [`note!`](crate::note).
pub fn note(line: fmt::Arguments<'_>) {
    match IS_LOUD.get() {
        true => println!("{line}"),
        false => NOTES.with_borrow_mut(|notes| notes.push(line.to_string())),
    }
}

/// Notes a line about a story, like `println!` in libtest: it is printed when the story fails, or with `--nocapture`.
#[macro_export]
macro_rules! note {
    ($($text:tt)+) => { $crate::harness::note(format_args!($($text)+)) };
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
