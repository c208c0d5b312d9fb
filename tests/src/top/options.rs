//! What `warren top` accepts.

use clap::Args;

use crate::admin::AdminOptions;

/// Which gateway, and how.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    pub(super) admin: AdminOptions,

    /// Print one picture as plain text, without the timeline, and end; so it does too where input or output is no terminal
    #[arg(long)]
    pub(super) once: bool,
}
