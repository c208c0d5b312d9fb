//! What a private node is told at start: its configuration files and its environment.

use std::env;
use std::fs;
use std::io;
use std::iter;
use std::path::Path;
use std::process::Command;

use serde_json::json;

/// Nodes without `epmd` are told apart by their ports, so all can have one name, and data can move from one to another.
const NAME: &str = "warren@localhost";

/// Where a node lives.
pub(super) struct Settings<'a> {
    /// An absolute path; everything the node writes is below.
    pub folder: &'a Path,
    /// AMQP.
    pub port: u16,
    /// Erlang's own protocol, for `rabbitmqctl`.
    pub dist_port: u16,
}

impl Settings<'_> {
    /// Writes the configuration.
    pub fn write(&self, vhosts: &[String]) -> io::Result<()> {
        let definitions = self.folder.join("definitions.json");
        let configuration = format!("load_definitions = {}\nlog.console = false\n", definitions.display());

        fs::create_dir_all(self.folder.join("log"))?;
        fs::write(&definitions, definitions_of(vhosts))?;
        fs::write(self.folder.join("rabbitmq.conf"), configuration)?;
        fs::write(self.folder.join("enabled_plugins"), "[].")
    }

    /// Sets the environment of `rabbitmq-server`. `scripts` replaces the installation's folder of scripts.
    pub fn server(&self, command: &mut Command, scripts: Option<&Path>) {
        self.common(command);
        command
            // The script then becomes the node instead of watching over it.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.folder.join("data"))
            .env("RABBITMQ_LOG_BASE", self.folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", self.folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.folder.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.folder.join("enabled_plugins"))
            .env("ERL_CRASH_DUMP", self.folder.join("log/erl_crash.dump"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", self.erl_args());
        if let Some(scripts) = scripts {
            command.env("RABBITMQ_SCRIPTS_DIR", scripts);
        }
    }

    /// Sets the environment of `rabbitmqctl`, which connects but does not listen itself: it would on the node's port.
    pub fn ctl(&self, command: &mut Command) {
        self.common(command);
        let port = self.dist_port;
        command.env(
            "RABBITMQ_CTL_ERL_ARGS",
            format!("-start_epmd false -erl_epmd_port {port} -dist_listen false"),
        );
    }

    fn common(&self, command: &mut Command) {
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.folder) // of the Erlang cookie
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_NODENAME", NAME);
    }

    /// Being named already, the node starts no `epmd`, and knows where `rabbitmqctl` will look for it.
    fn erl_args(&self) -> String {
        let port = self.dist_port;
        format!(
            "-noinput -sname {NAME} -start_epmd false -erl_epmd_port {port} -kernel inet_dist_listen_min {port} \
             -kernel inet_dist_listen_max {port} -kernel inet_dist_use_interface {{127,0,0,1}}"
        )
    }
}

/// The user `guest` with all rights in `/` and in these virtual hosts, in the format that RabbitMQ loads at start.
pub(super) fn definitions_of(vhosts: &[String]) -> String {
    let all = || iter::once("/").chain(vhosts.iter().map(String::as_str));
    json!({
        "users": [{ "name": "guest", "password": "guest", "tags": "administrator" }],
        "vhosts": all().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "permissions": all()
            .map(|vhost| json!({ "user": "guest", "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*" }))
            .collect::<Vec<_>>(),
    })
    .to_string()
}
