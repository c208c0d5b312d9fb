//! From the protocol header to an open connection: who it is, what both can do, and which virtual host it is for.

use std::fmt;
use std::io;
use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, connection};
use amq_protocol::types::{AMQPValue, FieldTable, LongString, ShortString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::{self, Frame, Payload};
use crate::broker::Refusal;

/// The header of AMQP 0-9-1, and what is answered to any other one (specification, 4.2.2).
const PROTOCOL: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// As RabbitMQ: nobody needs longer to say who they are.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take to hear why it was refused.
const GOODBYE: Duration = Duration::from_secs(1);

/// The most that each side may open and send, and how often it shows that it lives: RabbitMQ's own figures.
const CHANNEL_MAX: u16 = 2047;
const FRAME_MAX: u32 = 131_072;
const HEARTBEAT_SECONDS: u16 = 60;

/// What is agreed upon must not be less (`frame-min-size` of the specification); older clients propose no more. RabbitMQ
/// asks for twice as much since 4.1.
const FRAME_MIN: u32 = 4096;

/// The one who may log in, and the password; the broker listens on the loopback interface only.
pub const LOGIN: &str = "guest";

/// What was agreed upon.
#[derive(Debug)]
pub struct Agreement {
    /// The client's own name for the connection; empty where it gave none.
    pub name: String,
    /// The virtual host.
    pub vhost: String,
    /// The highest channel.
    pub channel_max: u16,
    /// The longest frame.
    pub frame_max: u32,
    /// How often each side shows that it lives; zero is never.
    pub heartbeat: Duration,
    /// Whether it understands that it is blocked.
    pub knows_blocked: bool,
    /// Whether it understands that its consumer was cancelled.
    pub knows_cancel: bool,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum HandshakeError {
    /// It did not speak AMQP 0-9-1; it was told what is spoken here.
    OtherProtocol,
    /// It said something else than what was due.
    Unexpected(&'static str),
    /// It was refused, and told why.
    Refused(String),
    /// It left, or said nothing for too long.
    Gone(io::Error),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherProtocol => f.write_str("it does not speak AMQP 0-9-1"),
            Self::Unexpected(due) => write!(f, "it did not send {due}"),
            Self::Refused(why) => f.write_str(why),
            Self::Gone(_) => f.write_str("it left before it was connected"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Gone(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// Goes through the handshake; `exists` says which virtual hosts there are. What came behind it stays in `unread`.
///
/// # Errors
///
/// There is no connection; the client was told why where the protocol has words for it.
pub async fn shake_hands(
    socket: &mut TcpStream,
    unread: &mut Vec<u8>,
    exists: impl Fn(&str) -> bool,
) -> Result<Agreement, HandshakeError> {
    let shake = Handshake { socket, unread };
    timeout(DEADLINE, shake.run(exists)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

struct Handshake<'a> {
    socket: &'a mut TcpStream,
    unread: &'a mut Vec<u8>,
}

impl Handshake<'_> {
    async fn run(mut self, exists: impl Fn(&str) -> bool) -> Result<Agreement, HandshakeError> {
        let mut header = [0; 8];
        self.socket.read_exact(&mut header).await?;
        if header != PROTOCOL {
            self.socket.write_all(&PROTOCOL).await?;
            self.socket.shutdown().await?;
            return Err(HandshakeError::OtherProtocol);
        }

        self.send(start()).await?;
        let connection::AMQPMethod::StartOk(start_ok) = self.receive("connection.start-ok").await? else {
            return Err(HandshakeError::Unexpected("connection.start-ok"));
        };
        let knows = |what| has_capability(&start_ok.client_properties, what);
        let login = format!("\0{LOGIN}\0{LOGIN}");
        let is_guest =
            start_ok.mechanism.as_str() == "PLAIN" && start_ok.response.as_bytes() == login.as_bytes();
        if !is_guest {
            return Err(self.refuse_login(&start_ok, knows("authentication_failure_close")).await);
        }

        let tune =
            connection::Tune { channel_max: CHANNEL_MAX, frame_max: FRAME_MAX, heartbeat: HEARTBEAT_SECONDS };
        self.send(connection::AMQPMethod::Tune(tune)).await?;
        let connection::AMQPMethod::TuneOk(agreed) = self.receive("connection.tune-ok").await? else {
            return Err(HandshakeError::Unexpected("connection.tune-ok"));
        };
        if let Err(refusal) = check(&agreed) {
            return Err(self.refuse(refusal, (0, 0)).await);
        }

        let connection::AMQPMethod::Open(open) = self.receive("connection.open").await? else {
            return Err(HandshakeError::Unexpected("connection.open"));
        };
        let vhost = open.virtual_host.as_str();
        if !exists(vhost) {
            return Err(self.refuse(Refusal::no_vhost(vhost), (10, 40)).await);
        }
        self.send(connection::AMQPMethod::OpenOk(connection::OpenOk {})).await?;

        Ok(Agreement {
            name: name_of(&start_ok.client_properties),
            vhost: vhost.to_owned(),
            channel_max: agreed.channel_max,
            frame_max: agreed.frame_max,
            heartbeat: Duration::from_secs(agreed.heartbeat.into()),
            knows_blocked: knows("connection.blocked"),
            knows_cancel: knows("consumer_cancel_notify"),
        })
    }

    async fn refuse_login(&mut self, start_ok: &connection::StartOk, hears: bool) -> HandshakeError {
        let refusal = match start_ok.mechanism.as_str() {
            "PLAIN" => Refusal::login("PLAIN"),
            other => Refusal::access_refused(format_args!(
                "unsupported authentication mechanism '{other}': the embedded broker has PLAIN only"
            )),
        };
        // As RabbitMQ: who does not know that it may be told is not.
        if hears { self.refuse(refusal, (0, 0)).await } else { HandshakeError::Refused(refusal.text) }
    }

    /// Says why, and to which method, and waits a moment until it is heard.
    async fn refuse(&mut self, refusal: Refusal, (class_id, method_id): (u16, u16)) -> HandshakeError {
        let close = connection::Close {
            reply_code: refusal.code,
            reply_text: short(&refusal.text),
            class_id,
            method_id,
        };
        if self.send(connection::AMQPMethod::Close(close)).await.is_ok() {
            let _ = timeout(GOODBYE, self.receive("connection.close-ok")).await;
        }
        HandshakeError::Refused(refusal.text)
    }

    async fn send(&mut self, method: connection::AMQPMethod) -> io::Result<()> {
        let mut bytes = Vec::new();
        frames::put_method(&mut bytes, 0, AMQPClass::Connection(method));
        self.socket.write_all(&bytes).await
    }

    async fn receive(&mut self, due: &'static str) -> Result<connection::AMQPMethod, HandshakeError> {
        loop {
            let taken = frames::take(self.unread, FRAME_MAX).map_err(|_| HandshakeError::Unexpected(due))?;
            let Some((Frame { channel, payload }, length)) = taken else {
                if self.socket.read_buf(self.unread).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                continue;
            };
            let method = match (channel, payload) {
                (0, Payload::Method(AMQPClass::Connection(method))) => Some(method),
                (0, Payload::Heartbeat) => None,
                _ => return Err(HandshakeError::Unexpected(due)),
            };
            self.unread.drain(..length);
            if let Some(method) = method {
                return Ok(method);
            }
        }
    }
}

fn check(agreed: &connection::TuneOk) -> Result<(), Refusal> {
    let check = |field: &str, value: u32, least: u32, most: u32| {
        let (is, bound, than) = match value {
            // No limit at all.
            0 => ("(no limit) is higher", most, "maximum"),
            value if value < least => ("is lower", least, "minimum"),
            value if value > most => ("is higher", most, "maximum"),
            _ => return Ok(()),
        };
        Err(Refusal::not_allowed(format_args!(
            "negotiated {field} = {value} {is} than the {than} allowed value ({bound})"
        )))
    };
    check("frame_max", agreed.frame_max, FRAME_MIN, FRAME_MAX)?;
    check("channel_max", agreed.channel_max.into(), 0, CHANNEL_MAX.into())
}

fn start() -> connection::AMQPMethod {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut capabilities = FieldTable::default();
    for (what, can) in [
        ("publisher_confirms", true),
        ("exchange_exchange_bindings", false),
        ("basic.nack", true),
        ("consumer_cancel_notify", true),
        ("connection.blocked", true),
        ("consumer_priorities", false),
        ("authentication_failure_close", true),
        ("per_consumer_qos", true),
        ("direct_reply_to", false),
    ] {
        capabilities.insert(what.into(), AMQPValue::Boolean(can));
    }
    let mut properties = FieldTable::default();
    properties.insert("product".into(), text("Warren's embedded broker"));
    properties.insert("version".into(), text(env!("CARGO_PKG_VERSION")));
    properties.insert("platform".into(), text("Rust"));
    properties.insert(
        "information".into(),
        text("For development, tests and demos on one machine. Production uses RabbitMQ."),
    );
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    connection::AMQPMethod::Start(connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: properties,
        mechanisms: LongString::from("PLAIN"),
        locales: LongString::from("en_US"),
    })
}

fn has_capability(properties: &FieldTable, what: &str) -> bool {
    match properties.inner().get("capabilities") {
        Some(AMQPValue::FieldTable(capabilities)) => {
            matches!(capabilities.inner().get(what), Some(AMQPValue::Boolean(true)))
        }
        _ => false,
    }
}

fn name_of(properties: &FieldTable) -> String {
    match properties.inner().get("connection_name") {
        Some(AMQPValue::LongString(name)) => name.to_string(),
        Some(AMQPValue::ShortString(name)) => name.to_string(),
        _ => String::new(),
    }
}

/// What fits into a short string of AMQP, cut at a character where it does not.
pub fn short(text: &str) -> ShortString {
    let end = (0..=text.len().min(255)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].into()
}
