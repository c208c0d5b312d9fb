//! What `warren fault` accepts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::effect;
use crate::broker::faults::{Effect, Moment, Rule};
use crate::duration;

/// The order, and which broker it goes to.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    pub(super) action: Action,

    /// The folder that `cargo up` keeps its data in; its embedded broker listens for orders on broker/control.sock there
    #[arg(long, value_name = "DIR", default_value = "target/warren", global = true)]
    pub(super) data: PathBuf,

    /// The control socket of an embedded broker that was started otherwise, instead of --data
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) socket: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub(super) enum Action {
    /// Close the sockets of connections without a word
    #[command(after_help = "Example: cargo fault drop --name users")]
    Drop {
        #[command(flatten)]
        select: Select,
    },
    /// Close every new connection at once
    #[command(after_help = "Example: cargo fault refuse --for 5s")]
    Refuse {
        /// For so long; until `accept` if not given
        #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
        lasting: Option<Duration>,
    },
    /// Accept new connections again
    #[command(after_help = "Example: cargo fault accept")]
    Accept,
    /// Neither read nor write any more, while the sockets stay open
    #[command(after_help = "Example: cargo fault silence --for 20s")]
    Silence {
        #[command(flatten)]
        select: Select,

        /// For so long; until `speak` if not given
        #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
        lasting: Option<Duration>,
    },
    /// End every silence
    #[command(after_help = "Example: cargo fault speak")]
    Speak,
    /// Block publishers, as under a memory alarm
    #[command(after_help = "Example: cargo fault block")]
    Block,
    /// Let publishers go on
    #[command(after_help = "Example: cargo fault unblock")]
    Unblock,
    /// Cancel every consumer of a queue
    #[command(after_help = "Example: cargo fault cancel-consumers users.order-created")]
    CancelConsumers {
        /// Its name
        queue: String,
    },
    /// Close every channel with an error
    #[command(after_help = "Example: cargo fault close-channels --name orders --code 406")]
    CloseChannels {
        #[command(flatten)]
        select: Select,

        /// The reply code
        #[arg(long, default_value_t = 541)]
        code: u16,

        /// The reply text
        #[arg(long, default_value = "INTERNAL_ERROR - on demand")]
        text: String,
    },
    /// Delete every queue with all that is in it, as a broker that lost its disk
    #[command(after_help = "Example: cargo fault forget-queues")]
    ForgetQueues,
    /// Add a virtual host
    #[command(after_help = "Example: cargo fault add-vhost second")]
    AddVhost {
        /// Its name
        name: String,
    },
    /// Refuse the next publishes with basic.nack
    #[command(after_help = "Example: cargo fault nack --count 3")]
    Nack {
        /// So many, or `always`
        #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
        count: u64,
    },
    /// Return the next publishes as if nothing were bound to their exchange
    #[command(after_help = "Example: cargo fault return --count 3")]
    Return {
        /// So many, or `always`
        #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
        count: u64,
    },
    /// Confirm the next publishes later
    #[command(after_help = "Example: cargo fault delay-confirms 200ms --count 100")]
    DelayConfirms {
        /// By so much
        #[arg(value_name = "DURATION", value_parser = duration::parse)]
        delay: Duration,

        /// So many, or `always`
        #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
        count: u64,
    },
    /// Send the next deliveries later
    #[command(after_help = "Example: cargo fault delay-deliveries 200ms --count 100")]
    DelayDeliveries {
        /// By so much
        #[arg(value_name = "DURATION", value_parser = duration::parse)]
        delay: Duration,

        /// So many, or `always`
        #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
        count: u64,
    },
    /// Collect confirms, and send them in reverse
    #[command(after_help = "Example: cargo fault reorder-confirms 5")]
    ReorderConfirms {
        /// So many together
        #[arg(value_name = "SIZE", value_parser = clap::value_parser!(u32).range(2..))]
        size: u32,

        /// So often, or `always`
        #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
        count: u64,
    },
    /// Collect deliveries, and send them in reverse
    #[command(after_help = "Example: cargo fault reorder-deliveries 5")]
    ReorderDeliveries {
        /// So many together
        #[arg(value_name = "SIZE", value_parser = clap::value_parser!(u32).range(2..))]
        size: u32,

        /// So often, or `always`
        #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
        count: u64,
    },
    /// Deliver the next messages twice
    #[command(after_help = "Example: cargo fault twice --count 10")]
    Twice {
        /// So many, or `always`
        #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
        count: u64,
    },
    /// Have an effect at the nth moment of a kind
    #[command(
        after_help = "Example, which loses the connection between the disk and the confirm of the tenth publish:\n  \
                      warren fault rule --at publish-stored --effect drop --skip 9"
    )]
    Rule(RuleOptions),
    /// Remove all rules; what they hold stays held until `release`
    #[command(after_help = "Example: cargo fault clear-rules")]
    ClearRules,
    /// Let go on what rules hold
    #[command(after_help = "Example: cargo fault release")]
    Release,
    /// Print how the broker is, and how often each rule fired
    #[command(after_help = "Example: cargo fault status")]
    Status {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// End the broker as `kill -9` does; `cargo up` starts it again
    #[command(after_help = "Example: cargo fault crash")]
    Crash,
}

#[derive(Args, Debug)]
pub(super) struct Select {
    /// Only connections with this in their name, such as users or orders; all if not given
    #[arg(long)]
    pub(super) name: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct RuleOptions {
    /// When
    #[arg(long, value_name = "MOMENT")]
    at: Moment,

    /// What: drop, hold, silence, crash, nack, return, delay:200ms, reorder:5, twice, cancel or close-channel:406:TEXT
    #[arg(long, value_parser = effect::parse)]
    effect: Effect,

    /// So many moments pass first
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,

    /// On so many moments after these, or `always`
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    times: u64,

    /// Only on connections with this in their name
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,

    /// Only for this queue, at deliveries and acknowledgements
    #[arg(long)]
    queue: Option<String>,

    /// Only for messages published to this exchange, at publishes and deliveries
    #[arg(long)]
    exchange: Option<String>,

    /// Only for messages with this routing key, at publishes and deliveries
    #[arg(long, value_name = "KEY")]
    routing_key: Option<String>,

    /// Only for this method, such as queue.declare, at the moment `method`
    #[arg(long)]
    method: Option<String>,
}

impl RuleOptions {
    pub(super) fn into_rule(self) -> Rule {
        let Self { at, effect, skip, times, connection, queue, exchange, routing_key, method } = self;
        Rule { at, effect, skip, times, connection, queue, exchange, routing_key, method }
    }
}

/// A number from 1 on, or as many as there are.
fn count(text: &str) -> Result<u64, String> {
    match text {
        "always" => Ok(u64::MAX),
        text => text
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| "is neither a number from 1 on nor `always`".into()),
    }
}
