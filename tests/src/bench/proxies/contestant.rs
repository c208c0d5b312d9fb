use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::scenario::{ORIGIN, Scenario};
use crate::bench::cores::Cores;
use crate::bench::process::{self, Process};
use crate::ports;

/// Who stands between load and upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// The gateway as a mere proxy.
    WarrenPlain,
    /// The gateway with every policy, and a token on every request.
    WarrenPolicies,
    /// nginx as a mere proxy.
    Nginx,
    /// nginx without its buffers on disk, which only matter to large bodies.
    NginxUnbuffered,
    /// haproxy as a mere proxy.
    Haproxy,
}

impl Contestant {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::WarrenPlain, Self::WarrenPolicies, Self::Nginx, Self::NginxUnbuffered, Self::Haproxy];

    /// What it is called by `--contestant`.
    pub fn key(self) -> &'static str {
        match self {
            Self::WarrenPlain => "warren-plain",
            Self::WarrenPolicies => "warren-policies",
            Self::Nginx => "nginx",
            Self::NginxUnbuffered => "nginx-unbuffered",
            Self::Haproxy => "haproxy",
        }
    }

    /// What the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WarrenPlain => "warren, plain",
            Self::WarrenPolicies => "warren, every policy",
            Self::Nginx => "nginx, plain",
            Self::NginxUnbuffered => "nginx, unbuffered",
            Self::Haproxy => "haproxy, plain",
        }
    }

    /// Whether it has something of its own to show there.
    pub fn takes_part_in(self, scenario: Scenario) -> bool {
        self != Self::NginxUnbuffered || scenario.is_large()
    }

    /// Whether its requests show a token.
    pub fn wants_token(self) -> bool {
        self == Self::WarrenPolicies
    }

    /// What it says of its version; `None` where it is not installed.
    pub fn version(self) -> Option<String> {
        let program = match self {
            Self::WarrenPlain | Self::WarrenPolicies => return Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Nginx | Self::NginxUnbuffered => "nginx",
            Self::Haproxy => "haproxy",
        };
        let output = Command::new(find(program)?).arg("-v").stdin(Stdio::null()).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        // `nginx version: nginx/1.22.1`, `HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://…`
        let line = text.lines().next()?;
        let version =
            line.split([' ', '/']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        Some(version.to_owned())
    }

    /// Starts it in front of the upstream, with what it writes below `folder`. It may take a moment until it serves.
    pub(super) fn start(
        self,
        upstream: u16,
        cores: Cores,
        folder: &Path,
    ) -> io::Result<(Process, SocketAddr)> {
        let port = ports::free();
        let command = match self {
            Self::WarrenPlain => {
                gateway(port, upstream, cores, folder, &[("AUTH", "open"), ("RATE_LIMIT", "off")])?
            }
            Self::WarrenPolicies => {
                let policies = [
                    ("AUTH", "required"),
                    // High enough that nothing is refused, and counted all the same.
                    ("RATE_LIMIT", "1000000000/1"),
                    ("CORS_ORIGINS", ORIGIN),
                ];
                gateway(port, upstream, cores, folder, &policies)?
            }
            Self::Nginx | Self::NginxUnbuffered => {
                let buffers = self == Self::Nginx;
                fs::create_dir_all(folder)?;
                let config = folder.join("nginx.conf");
                fs::write(&config, nginx_config(port, upstream, folder, buffers))?;
                let mut command = process::command(installed("nginx")?, cores.proxy)?;
                command
                    .arg("-p")
                    .arg(folder)
                    .arg("-e")
                    .arg(folder.join("nginx-error.log"))
                    .arg("-c")
                    .arg(config);
                command
            }
            Self::Haproxy => {
                fs::create_dir_all(folder)?;
                let config = folder.join("haproxy.cfg");
                fs::write(&config, haproxy_config(port, upstream))?;
                let mut command = process::command(installed("haproxy")?, cores.proxy)?;
                command.arg("-db").arg("-f").arg(config);
                command
            }
        };
        let process = log_to(command, folder, self.key()).and_then(Process::start)?;
        Ok((process, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }
}

/// The routes take bodies as large as the load has them; the bounds are such that nothing is refused.
const SETTINGS: &str = r#"
[limits]
in_flight = 8192

[upstreams.users]
in_flight = 8192

[upstreams.orders]
in_flight = 8192

[[routes]]
path = "/api/users"
target = "/users"
upstream = "users"
body_bytes = "2 MiB"

[[routes]]
path = "/api/orders"
target = "/orders"
upstream = "orders"
body_bytes = "2 MiB"
"#;

fn gateway(
    port: u16,
    upstream: u16,
    cores: Cores,
    folder: &Path,
    policies: &[(&str, &str)],
) -> io::Result<Command> {
    fs::create_dir_all(folder)?;
    let settings = folder.join("gateway.toml");
    fs::write(&settings, SETTINGS)?;
    let upstream = format!("http://127.0.0.1:{upstream}");
    let mut command = process::command(env::current_exe()?, cores.proxy)?;
    command.arg("gateway");
    command.envs(policies.iter().copied());
    command.env("HOST", "127.0.0.1").env("PORT", port.to_string());
    command.env("ADMIN_HOST", "127.0.0.1").env("ADMIN_PORT", ports::free().to_string());
    command.env("USER_URL", &upstream).env("ORDER_URL", &upstream);
    // One thread for the traffic, as the others have.
    command.env("HTTP_WORKERS", "1").env("GATEWAY_CONFIG", settings);
    command.env("RUST_LOG", "info");
    Ok(command)
}

/// As an operator would write it for speed: no log, connections kept on both sides, and no limit on their use.
fn nginx_config(port: u16, upstream: u16, folder: &Path, buffers: bool) -> String {
    let folder = folder.display();
    let buffering = if buffers { "on" } else { "off" };
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    client_max_body_size 16m;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    upstream behind {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_buffering {buffering};
            proxy_request_buffering {buffering};
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn haproxy_config(port: u16, upstream: u16) -> String {
    format!(
        "global
    nbthread 1
    maxconn 8192
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 75s
    timeout server 75s
frontend public
    bind 127.0.0.1:{port}
    default_backend behind
backend behind
    server upstream 127.0.0.1:{upstream}
"
    )
}

/// Debian installs both where only root looks.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(Into::into));
    folders.map(|folder| folder.join(program)).find(|program| program.is_file())
}

fn installed(program: &str) -> io::Result<PathBuf> {
    find(program)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{program} is not installed")))
}

fn log_to(mut command: Command, folder: &Path, name: &str) -> io::Result<Command> {
    fs::create_dir_all(folder)?;
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join(format!("{name}.log")))?;
    command.stdout(log.try_clone()?).stderr(log);
    Ok(command)
}
