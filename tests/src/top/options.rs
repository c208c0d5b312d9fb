//! What `warren top` accepts.

use clap::Args;

/// Which gateway, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// The gateway's admin port, which is what ADMIN_PORT says there
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub(super) admin: String,

    /// The token that it wants, which is what ADMIN_TOKEN says there; ADMIN_TOKEN of this environment if not given
    #[arg(long, value_name = "TOKEN")]
    pub(super) token: Option<String>,

    /// Print one picture as plain text and end; so it does too where input or output is no terminal
    #[arg(long)]
    pub(super) once: bool,
}
