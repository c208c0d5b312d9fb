//! One AMQP connection that surely ends.
//!
//! A lapin connection runs on a thread of its own, and some things keep that thread alive for ever: a handshake
//! that nobody answers, a close that is never written because the broker has blocked the connection. So a
//! [`Wire`] keeps a second descriptor of the socket and shuts the socket down when it is dropped; whatever the
//! thread waits for, it then reads the end of the stream and ends.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream::BoxStream};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, Event,
    tcp::{AMQPUriTcpExt, TLSConfig},
};
use tokio::{runtime::Handle, time::timeout};

use super::{BrokerConfig, BrokerError, error::explain, preflight::CONNECT_DEADLINE, sanitizer};

/// How long the handshake may take, connecting included.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a connection may take to say goodbye before its socket is shut down.
const GOODBYE_DEADLINE: Duration = Duration::from_millis(500);

/// How often a connection is asked whether it still is one, should it end without an event.
const STATUS_CHECK: Duration = Duration::from_secs(1);

/// A connection; dropping it closes the connection and ends its thread.
pub(super) struct Wire {
    connection: Option<Connection>,
    socket: Socket,
}

impl Wire {
    /// Connects to `address` under the name `name`, which the broker shows its operators.
    pub(super) async fn connect(
        config: &BrokerConfig,
        address: SocketAddr,
        name: &str,
    ) -> Result<Self, BrokerError> {
        let action = || format!("open a connection to {}", config.address());
        let mut uri = config.uri.clone();
        // No second name lookup: it would be one without a deadline.
        uri.authority.host = address.ip().to_string();
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let socket = Socket::default();
        let opened = socket.clone();
        let connection = Connection::connector(
            uri,
            sanitizer::runtime(),
            async move |uri, runtime| {
                let connect = uri.connect_with_config_async(TLSConfig::default(), &runtime);
                let stream = timeout(CONNECT_DEADLINE, connect).await.map_err(io::Error::from)??;
                let AsyncTcpStream::Plain(plain) = &stream else {
                    return Err(io::Error::other("not a plain socket").into());
                };
                opened.open(TcpStream::from(plain.get_ref().get_ref().as_fd().try_clone_to_owned()?))?;
                Ok(stream)
            },
            properties,
        );
        // From here on, dropping the future is enough: it drops `wire`, and that ends the socket.
        let mut wire = Self { connection: None, socket };
        match timeout(HANDSHAKE_DEADLINE, connection).await {
            Ok(Ok(connection)) => wire.connection = Some(connection),
            Ok(Err(error)) => return Err(BrokerError::from_lapin(action(), &error)),
            Err(_) => return Err(BrokerError::unreachable(action(), "no handshake within 5 s")),
        }
        Ok(wire)
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        match &self.connection {
            Some(connection) => connection
                .create_channel()
                .await
                .map_err(|error| BrokerError::from_lapin("open a channel", &error)),
            None => Err(BrokerError::unreachable("open a channel", "the connection is closed")),
        }
    }

    /// Returns what shuts the socket down, as if the network had.
    pub(super) fn socket(&self) -> Socket {
        self.socket.clone()
    }

    /// Returns what the connection reports. To be called once, right after connecting: lapin has one queue of
    /// events for all who listen.
    pub(super) fn watch(&self) -> Watch {
        let connection = self.connection.as_ref();
        Watch {
            events: connection.map(|connection| connection.events_listener().boxed()),
            status: connection.map(|connection| connection.status().clone()),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let (connection, socket) = (self.connection.take(), self.socket.clone());
        let (Some(connection), Ok(runtime)) = (connection, Handle::try_current()) else {
            socket.shut();
            return;
        };
        // Should the runtime end first, it drops the task, and with it the guard.
        let guard = ShutOnDrop(socket);
        runtime.spawn(async move {
            // An error means that it is closed already.
            let _ = timeout(GOODBYE_DEADLINE, connection.close(200, "OK".into())).await;
            drop(connection);
            drop(guard);
        });
    }
}

/// What one connection reports.
pub(super) struct Watch {
    events: Option<BoxStream<'static, Event>>,
    status: Option<lapin::ConnectionStatus>,
}

impl Watch {
    /// Waits until the connection ends and returns why; tells `on_blocked` meanwhile why the broker takes no
    /// messages, and when it does again.
    pub(super) async fn until_lost(self, mut on_blocked: impl FnMut(Option<String>)) -> String {
        let (Some(mut events), Some(status)) = (self.events, self.status) else {
            return "the connection is closed".to_owned();
        };
        let mut check = tokio::time::interval(STATUS_CHECK);
        loop {
            tokio::select! {
                event = next(&mut events) => match event {
                    Event::Error(error) => return explain(&error),
                    Event::ConnectionBlocked(reason) => on_blocked(Some(reason)),
                    Event::ConnectionUnblocked => on_blocked(None),
                    _ => {}
                },
                _ = check.tick() => if !status.connected() {
                    // The event that says why may be waiting.
                    return match timeout(Duration::ZERO, next(&mut events)).await {
                        Ok(Event::Error(error)) => explain(&error),
                        _ => "the connection is closed".to_owned(),
                    };
                },
            }
        }
    }
}

/// A stream of events has no end while its connection is kept.
async fn next(events: &mut (impl Stream<Item = Event> + Unpin)) -> Event {
    match events.next().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

/// The second descriptor of a connection's socket, once it has one.
#[derive(Clone, Default)]
pub(super) struct Socket(Arc<Mutex<SocketState>>);

#[derive(Default)]
enum SocketState {
    #[default]
    NotYet,
    Open(TcpStream),
    Shut,
}

impl Socket {
    /// Keeps the descriptor; refused where the socket is to be shut already.
    fn open(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            SocketState::Shut => Err(io::Error::other("nobody waits for this connection any more")),
            _ => {
                *state = SocketState::Open(stream);
                Ok(())
            }
        }
    }

    pub(super) fn shut(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SocketState::Open(stream) = &*state {
            // Fails where the broker has closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        *state = SocketState::Shut;
    }
}

struct ShutOnDrop(Socket);

impl Drop for ShutOnDrop {
    fn drop(&mut self) {
        self.0.shut();
    }
}
