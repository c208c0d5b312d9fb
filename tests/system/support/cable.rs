//! The cable between the services and their broker, which can be cut, pulled out, and go dead without a word.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use warren::ports;

/// Carries bytes to a broker and back, until it is told otherwise.
pub struct Cable {
    url: String,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// How often it was cut so far: a connection lives as long as this stays the same.
    cuts: u64,
    is_out: bool,
    is_silent: bool,
}

impl Cable {
    /// A cable to the broker at this URL.
    ///
    /// # Panics
    ///
    /// When the URL has no `host:port` that can be read.
    pub async fn to(amqp_url: &str) -> Self {
        let (head, rest) = amqp_url.split_once('@').expect("amqp://user:password@host:port/vhost");
        let (address, vhost) = rest.split_once('/').expect("amqp://user:password@host:port/vhost");
        let broker: SocketAddr = address.parse().expect("an address and a port");
        let port = ports::free();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let state = watch::Sender::new(State::default());
        tokio::spawn(accept(listener, broker, state.subscribe()));
        Self { url: format!("{head}@127.0.0.1:{port}/{vhost}"), state }
    }

    /// The broker's URL at this end of the cable.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection; new ones can be made at once.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts every connection, and every new one, until it is plugged in again.
    pub fn pull_out(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.is_out = true;
        });
    }

    /// Lets nothing through any more in either direction, while connections stay open and new ones are accepted.
    pub fn go_silent(&self) {
        self.state.send_modify(|state| state.is_silent = true);
    }

    /// Carries again, also what was held back; connections that were cut stay cut.
    pub fn plug_in(&self) {
        self.state.send_modify(|state| {
            state.is_out = false;
            state.is_silent = false;
        });
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        if !state.borrow().is_out {
            tokio::spawn(carry(client, broker, state.clone()));
        }
    }
}

async fn carry(client: TcpStream, broker: SocketAddr, mut state: watch::Receiver<State>) {
    let born = state.borrow().cuts;
    let Ok(broker) = TcpStream::connect(broker).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    tokio::select! {
        () = pump(from_client, to_broker, state.clone()) => {}
        () = pump(from_broker, to_client, state.clone()) => {}
        // A sender that is gone means that the test is over.
        _ = state.wait_for(|state| state.cuts != born) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        if state.wait_for(|state| !state.is_silent).await.is_err()
            || to.write_all(&buffer[..size]).await.is_err()
        {
            return;
        }
    }
}
