//! A collector of traces: it takes OTLP over HTTP in JSON and remembers the spans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use warren::harness::eventually;
use warren::ports;

/// A span that was collected.
#[derive(Clone, Debug)]
pub struct Collected {
    pub service: String,
    pub trace: String,
    pub id: String,
    pub parent: Option<String>,
    pub name: String,
    /// As OpenTelemetry counts them: internal, server, client, producer, consumer, from 1.
    pub kind: u64,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
}

type Spans = Arc<Mutex<Vec<Collected>>>;

/// Listens on one port, now and again.
pub struct Collector {
    port: u16,
    spans: Spans,
    listening: Option<JoinHandle<()>>,
}

impl Collector {
    /// One that does not listen yet.
    pub fn away() -> Self {
        Self { port: ports::free(), spans: Arc::default(), listening: None }
    }

    /// One that listens.
    pub async fn start() -> Self {
        let mut collector = Self::away();
        collector.come().await;
        collector
    }

    /// Begins to listen.
    pub async fn come(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port is free");
        let spans = self.spans.clone();
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, spans.clone()));
            }
        }));
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What has been collected so far.
    pub fn spans(&self) -> Vec<Collected> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `enough` of the trace is there of which the gateway's part names the request, and returns it.
    pub async fn trace_of(&self, request_id: &str, enough: impl Fn(&Trace) -> bool) -> Trace {
        eventually(Duration::from_secs(30), &format!("the trace of {request_id}"), async || {
            let spans = self.spans();
            let names_it = |span: &&Collected| {
                span.attributes.get("warren.request_id").is_some_and(|id| id == request_id)
            };
            let trace = spans.iter().find(names_it).map(|span| span.trace.clone());
            let of_it = spans.iter().filter(|span| Some(&span.trace) == trace.as_ref()).cloned().collect();
            let trace = Trace(of_it);
            if enough(&trace) { Ok(trace) } else { Err(trace.to_string()) }
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

/// The spans of one trace.
#[derive(Clone, Debug)]
pub struct Trace(pub Vec<Collected>);

impl Trace {
    /// The one span of this service and name.
    #[track_caller]
    pub fn span(&self, service: &str, name: &str) -> &Collected {
        let found: Vec<_> =
            self.0.iter().filter(|span| span.service == service && span.name == name).collect();
        assert_eq!(found.len(), 1, "{service} {name} in {self}");
        found[0]
    }

    /// Whether there is such a span.
    pub fn has(&self, service: &str, name: &str) -> bool {
        self.0.iter().any(|span| span.service == service && span.name == name)
    }

    /// From a span up to the first: `service name` of each.
    #[track_caller]
    pub fn way_up(&self, from: &Collected) -> Vec<String> {
        let mut way = vec![format!("{} {}", from.service, from.name)];
        let mut parent = from.parent.clone();
        while let Some(id) = parent.take() {
            let Some(span) = self.0.iter().find(|span| span.id == id) else { break };
            way.push(format!("{} {}", span.service, span.name));
            parent = span.parent.clone();
        }
        way
    }

    /// The parents that spans name and nobody knows.
    pub fn missing_parents(&self) -> Vec<&str> {
        let known: BTreeSet<&str> = self.0.iter().map(|span| span.id.as_str()).collect();
        let parents = self.0.iter().filter_map(|span| span.parent.as_deref());
        parents.filter(|parent| !known.contains(parent)).collect()
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|span| {
            let parent = span.parent.as_deref().unwrap_or("-");
            writeln!(f, "{} {} {} <- {parent} {}", span.service, span.kind, span.id, span.name)
        })
    }
}

/// Takes one request after the other; whatever is no sound request ends the connection.
async fn serve(stream: TcpStream, spans: Spans) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let is_sound =
            head.starts_with("post /v1/traces ") && head.contains("content-type: application/json");
        let taken = if is_sound { read(&body) } else { None };
        let answer = match taken {
            Some(taken) => {
                spans.lock().unwrap_or_else(PoisonError::into_inner).extend(taken);
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
            }
            None => "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        };
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Reads an `ExportTraceServiceRequest`; `None` where something of it is missing or of the wrong kind.
fn read(body: &[u8]) -> Option<Vec<Collected>> {
    let request: Value = serde_json::from_slice(body).ok()?;
    let mut collected = Vec::new();
    for of_resource in request["resourceSpans"].as_array()? {
        let resource = attributes(&of_resource["resource"]["attributes"])?;
        for of_scope in of_resource["scopeSpans"].as_array()? {
            for span in of_scope["spans"].as_array()? {
                let hex = |name: &str, digits: usize| {
                    let text = span[name].as_str()?;
                    let is_id = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                    is_id.then(|| text.to_owned())
                };
                let time = |name: &str| span[name].as_str()?.parse::<u128>().ok();
                if time("startTimeUnixNano")? > time("endTimeUnixNano")? {
                    return None;
                }
                collected.push(Collected {
                    service: resource.get("service.name")?.clone(),
                    trace: hex("traceId", 32)?,
                    id: hex("spanId", 16)?,
                    parent: if span["parentSpanId"].is_null() {
                        None
                    } else {
                        Some(hex("parentSpanId", 16)?)
                    },
                    name: span["name"].as_str()?.to_owned(),
                    kind: span["kind"].as_u64()?,
                    attributes: attributes(&span["attributes"])?,
                    failed: span["status"]["code"] == 2,
                });
            }
        }
    }
    Some(collected)
}

fn attributes(list: &Value) -> Option<BTreeMap<String, String>> {
    let pair = |pair: &Value| {
        let value = pair["value"].as_object()?.values().next()?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((pair["key"].as_str()?.to_owned(), text))
    };
    list.as_array()?.iter().map(pair).collect()
}
