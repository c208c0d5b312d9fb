//! A connection as frames: what is written goes out at once, and it reads when somebody waits for an answer.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, channel, connection};
use amq_protocol::types::FieldTable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::inbox::Inbox;
use super::{Channel, Closed, Event, Login, Scope};

/// An answer that has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was sent on this machine has come by then.
const MOMENT: Duration = Duration::from_millis(100);

/// Kind, channel and size, and the byte at the end.
const FRAME_AROUND: usize = 8;

/// An open connection. Its clones are the same one.
#[derive(Clone)]
pub struct Connection(Rc<Mutex<Wire>>);

struct Wire {
    stream: TcpStream,
    /// Read, and not yet a whole frame.
    buffer: Vec<u8>,
    inboxes: BTreeMap<u16, Inbox>,
    /// The broker closed the connection.
    closed: Option<Closed>,
    heartbeats: usize,
    server_properties: FieldTable,
    tuned: connection::Tune,
    /// For the message of a story that waits in vain.
    said_last: Option<AMQPFrame>,
}

impl Connection {
    /// Connects and logs in.
    pub async fn open(login: &Login) -> Result<Self, Closed> {
        let connection = Self::greet(login, b"AMQP\0\0\x09\x01").await;

        let Ok(start) = connection.on_zero(|method| matches!(method, connection::AMQPMethod::Start(_))).await
        else {
            return Err(Closed::silently());
        };
        let connection::AMQPMethod::Start(start) = start else { unreachable!("it was asked for") };
        assert!(start.mechanisms.to_string().split(' ').any(|name| name == "PLAIN"));
        connection.0.lock().await.server_properties = start.server_properties;
        let answer = connection::StartOk {
            client_properties: login.client_properties(),
            mechanism: "PLAIN".into(),
            response: format!("\0{}\0{}", login.user, login.password).into(),
            locale: "en_US".into(),
        };
        connection.say(connection::AMQPMethod::StartOk(answer)).await;

        let connection::AMQPMethod::Tune(tune) =
            connection.on_zero(|method| matches!(method, connection::AMQPMethod::Tune(_))).await?
        else {
            unreachable!("it was asked for")
        };
        let or = |ours: u32, theirs: u32| if ours == 0 { theirs } else { ours };
        let answer = connection::TuneOk {
            channel_max: or(login.channel_max.into(), tune.channel_max.into()) as u16,
            frame_max: or(login.frame_max, tune.frame_max),
            heartbeat: login.heartbeat,
        };
        connection.0.lock().await.tuned = connection::Tune { frame_max: answer.frame_max, ..tune };
        connection.say(connection::AMQPMethod::TuneOk(answer)).await;

        let open = connection::Open { virtual_host: login.vhost.as_str().into() };
        connection.say(connection::AMQPMethod::Open(open)).await;
        connection.on_zero(|method| matches!(method, connection::AMQPMethod::OpenOk(_))).await?;
        Ok(connection)
    }

    /// Connects and says this instead of, or as, the protocol's name and version.
    pub async fn greet(login: &Login, greeting: &[u8]) -> Self {
        let mut stream =
            TcpStream::connect((login.host.as_str(), login.port)).await.expect("a broker listens");
        stream.set_nodelay(true).expect("a socket can be told so");
        // Where it was closed at once, reading says so.
        let _ = stream.write_all(greeting).await;
        let wire = Wire {
            stream,
            buffer: Vec::new(),
            inboxes: BTreeMap::new(),
            closed: None,
            heartbeats: 0,
            server_properties: FieldTable::default(),
            tuned: connection::Tune::default(),
            said_last: None,
        };
        Self(Rc::new(Mutex::new(wire)))
    }

    /// Opens the channel of this number.
    pub async fn channel(&self, id: u16) -> Result<Channel, Closed> {
        let channel = Channel::new(self.clone(), id);
        channel.call(channel::AMQPMethod::Open(channel::Open {})).await?;
        Ok(channel)
    }

    /// What the broker said of itself.
    pub async fn server_properties(&self) -> FieldTable {
        self.0.lock().await.server_properties.clone()
    }

    /// What the broker proposed, but for `frame_max`: that is the one that holds.
    pub async fn tuned(&self) -> connection::Tune {
        self.0.lock().await.tuned.clone()
    }

    /// Says goodbye and waits for the answer.
    pub async fn close(&self) -> Result<(), Closed> {
        let close =
            connection::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
        self.say(connection::AMQPMethod::Close(close)).await;
        self.on_zero(|method| matches!(method, connection::AMQPMethod::CloseOk(_))).await.map(drop)
    }

    /// Waits until the broker closes it, and returns how.
    pub async fn closed(&self) -> Closed {
        match self.on_zero(|_| false).await {
            Ok(_) => unreachable!("nothing was asked for"),
            Err(closed) => closed,
        }
    }

    /// Sends a method on channel 0.
    pub async fn say(&self, method: connection::AMQPMethod) {
        self.send(&[AMQPFrame::Method(0, AMQPClass::Connection(method))]).await;
    }

    /// Waits for the method on channel 0 that `is_wanted`.
    pub async fn on_zero(
        &self,
        is_wanted: impl Fn(&connection::AMQPMethod) -> bool,
    ) -> Result<connection::AMQPMethod, Closed> {
        let wanted =
            |event: &Event| matches!(&event.method, AMQPClass::Connection(method) if is_wanted(method));
        match self.wait(0, wanted).await?.method {
            AMQPClass::Connection(method) => Ok(method),
            _ => unreachable!("it was asked for"),
        }
    }

    /// Sends frames, whatever they are. A connection that is gone is found when it is read.
    pub async fn send(&self, frames: &[AMQPFrame]) {
        let mut bytes = WriteContext::from(Vec::new());
        for frame in frames {
            bytes = gen_frame(frame)(bytes).expect("a frame can be written");
        }
        self.send_bytes(&bytes.into_inner().0).await;
        let method = frames.iter().find(|frame| matches!(frame, AMQPFrame::Method(..)));
        self.0.lock().await.said_last = method.cloned();
    }

    /// Sends bytes, whatever they are.
    pub async fn send_bytes(&self, bytes: &[u8]) {
        let _ = self.0.lock().await.stream.write_all(bytes).await;
    }

    /// Waits for the event of a channel that `is_wanted`, or for the end of the channel or connection.
    ///
    /// # Panics
    ///
    /// When neither comes.
    pub async fn wait(&self, channel: u16, is_wanted: impl Fn(&Event) -> bool) -> Result<Event, Closed> {
        let mut wire = self.0.lock().await;
        loop {
            let inbox = wire.inboxes.entry(channel).or_default();
            if let Some(event) = inbox.find(&is_wanted) {
                return Ok(event);
            }
            if let Some(closed) = inbox.find(is_channel_close) {
                let ok = AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}));
                wire.write(&AMQPFrame::Method(channel, ok)).await;
                return Err(closed_channel(&closed));
            }
            if let Some(closed) = &wire.closed {
                return Err(closed.clone());
            }
            wire.read().await;
        }
    }

    /// Waits for the broker's next heartbeat.
    pub async fn heartbeat(&self) {
        let mut wire = self.0.lock().await;
        let before = wire.heartbeats;
        while wire.heartbeats == before {
            assert_eq!(wire.closed, None);
            wire.read().await;
        }
    }

    /// Whether something is there for a channel after a moment in which it could have come.
    pub async fn has_heard(&self, channel: u16) -> bool {
        let mut wire = self.0.lock().await;
        while timeout(MOMENT, wire.read()).await.is_ok() && wire.closed.is_none() {}
        wire.inboxes.get(&channel).is_some_and(|inbox| !inbox.is_empty())
    }

    /// Whether the broker has sent a heartbeat so far.
    pub async fn has_beaten(&self) -> bool {
        let mut wire = self.0.lock().await;
        let _ = timeout(MOMENT, wire.read()).await;
        assert_eq!(wire.closed, None);
        wire.heartbeats > 0
    }

    /// Reads until the broker hangs up, and returns it all.
    pub async fn all_bytes(&self) -> Vec<u8> {
        let mut wire = self.0.lock().await;
        while wire.closed.is_none() {
            wire.fill().await;
        }
        std::mem::take(&mut wire.buffer)
    }
}

impl Wire {
    /// Reads one frame and puts it where it belongs.
    async fn read(&mut self) {
        let Some(frame) = self.frame().await else { return };
        match frame {
            AMQPFrame::Heartbeat => self.heartbeats += 1,
            AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))) => {
                let ok = AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
                self.write(&AMQPFrame::Method(0, ok)).await;
                self.closed = Some(Closed {
                    scope: Scope::Connection,
                    code: close.reply_code,
                    text: close.reply_text.to_string(),
                    method: (close.class_id, close.method_id),
                });
            }
            frame => self.inboxes.entry(frame.channel_id()).or_default().take_in(frame),
        }
    }

    async fn frame(&mut self) -> Option<AMQPFrame> {
        loop {
            if let Some(size) = self.buffer.get(3..7) {
                let size = u32::from_be_bytes(size.try_into().expect("these are four")) as usize;
                let whole = size + FRAME_AROUND;
                if self.buffer.len() >= whole {
                    let frame = parse_frame(&self.buffer[..whole]).expect("the broker sends frames").1;
                    self.buffer.drain(..whole);
                    return Some(frame);
                }
            }
            self.fill().await;
            if self.closed.is_some() {
                return None;
            }
        }
    }

    async fn fill(&mut self) {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        let read = read.unwrap_or_else(|_| {
            panic!("the broker has sent nothing for {PATIENCE:?}; said last was {:?}", self.said_last)
        });
        if read.unwrap_or(0) == 0 {
            self.closed = Some(Closed::silently());
        }
    }

    async fn write(&mut self, frame: &AMQPFrame) {
        let bytes = gen_frame(frame)(WriteContext::from(Vec::new())).expect("a frame can be written");
        let _ = self.stream.write_all(&bytes.into_inner().0).await;
    }
}

fn is_channel_close(event: &Event) -> bool {
    matches!(event.method, AMQPClass::Channel(channel::AMQPMethod::Close(_)))
}

fn closed_channel(event: &Event) -> Closed {
    match &event.method {
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => Closed {
            scope: Scope::Channel,
            code: close.reply_code,
            text: close.reply_text.to_string(),
            method: (close.class_id, close.method_id),
        },
        other => unreachable!("{other:?} closes no channel"),
    }
}
