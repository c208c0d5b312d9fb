//! The options of `warren broker`.

use std::path::PathBuf;

use clap::Args;

/// What `warren broker` accepts.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The port that clients connect to, on the loopback interface
    #[arg(long, default_value_t = 5672)]
    pub port: u16,

    /// The folder that queues and messages are kept in, with the control socket of `warren fault`
    #[arg(long, default_value = "target/warren/broker")]
    pub data: PathBuf,

    /// A virtual host beside `/`; may be given more than once
    #[arg(long = "vhost")]
    pub vhosts: Vec<String>,

    /// How many bytes of messages all queues may hold before publishers are blocked
    #[arg(long, default_value_t = 1024 * 1024 * 1024)]
    pub queue_bytes: u64,

    /// End when standard input ends, that is, with the process that holds its other side
    #[arg(long)]
    pub with_parent: bool,
}
