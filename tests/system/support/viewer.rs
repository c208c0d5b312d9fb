//! One who watches the console's stream, as a browser does.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use warren::harness::System;

/// A stream of server-sent events that is open.
pub struct Viewer {
    lines: Lines<BufReader<ReadHalf<TcpStream>>>,
    _writing: WriteHalf<TcpStream>,
}

impl Viewer {
    /// Begins to watch, where there is a place.
    ///
    /// # Panics
    ///
    /// When the server does not answer, or has no place.
    pub async fn of(system: &System) -> Self {
        Self::watch(system).await.unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// Begins to watch; `Err` holds what a server answers that has no place.
    ///
    /// # Panics
    ///
    /// When the server does not take the connection or does not answer.
    pub async fn watch(system: &System) -> Result<Self, String> {
        let port = system.gateway.internal.base().rsplit(':').next().and_then(|port| port.parse().ok());
        let port: u16 = port.expect("the harness names the admin port");
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        let (reading, mut writing) = split(stream);
        let head = "GET /console/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nconnection: close\r\n\r\n";
        writing.write_all(head.as_bytes()).await.expect("the server reads");
        let mut reading = BufReader::new(reading);
        let mut status = String::new();
        reading.read_line(&mut status).await.expect("the server answers");
        if !status.starts_with("HTTP/1.1 200 ") {
            let mut rest = String::new();
            let _ = reading.read_to_string(&mut rest).await;
            return Err(status + &rest);
        }
        Ok(Self { lines: reading.lines(), _writing: writing })
    }

    /// The next picture.
    ///
    /// # Panics
    ///
    /// When none comes within ten seconds.
    pub async fn state(&mut self) -> Value {
        self.next_line()
            .await
            .map(|line| serde_json::from_str(&line).expect("a picture is JSON"))
            .expect("a picture")
    }

    /// The first picture of which `is_it` is true.
    ///
    /// # Panics
    ///
    /// With the last picture, when none comes in time.
    pub async fn until(&mut self, deadline: Duration, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + deadline;
        let mut last = Value::Null;
        loop {
            match timeout_at(end, self.state()).await {
                Ok(state) if is_it(&state) => return state,
                Ok(state) => last = state,
                Err(_) => panic!("not within {deadline:?}: {what}: {last:#}"),
            }
        }
    }

    /// Reads until the server ends the stream.
    ///
    /// # Panics
    ///
    /// When it does not within ten seconds.
    pub async fn ended(&mut self) {
        while self.next_line().await.is_some() {}
    }

    /// The data of the next `state` event, which the server sends as one chunk.
    async fn next_line(&mut self) -> Option<String> {
        let end = Instant::now() + Duration::from_secs(10);
        let mut is_state = false;
        loop {
            let line = timeout_at(end, self.lines.next_line()).await.expect("an event in time");
            let line = line.ok().flatten()?;
            match line.strip_prefix("data: ") {
                Some(data) if is_state => return Some(data.to_owned()),
                Some(_) => {}
                None if line.starts_with("event: ") => is_state = line == "event: state",
                None => {}
            }
        }
    }
}

/// The link between two ends, in a picture.
///
/// # Panics
///
/// When there is none.
pub fn link<'a>(state: &'a Value, from: &str, to: &str) -> &'a Value {
    let links = state["links"].as_array().expect("a list of links");
    let found = links.iter().find(|link| link["from"] == from && link["to"] == to);
    found.unwrap_or_else(|| panic!("no link from {from} to {to} in {state:#}"))
}

/// The only process of a service, in a picture.
///
/// # Panics
///
/// When there is none.
pub fn process<'a>(state: &'a Value, service: &str) -> &'a Value {
    let services = state["services"].as_array().expect("a list of services");
    let found = services.iter().find(|known| known["name"] == service);
    &found.unwrap_or_else(|| panic!("no {service} in {state:#}"))["processes"][0]
}
