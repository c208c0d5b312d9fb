use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use async_rs::{Runtime, Tokio, traits::Reactor, util::RuntimeParts};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;

use super::stream::Sanitized;

/// What lapin is given in place of tokio's reactor: the same, with connections that are sanitized.
#[derive(Clone, Debug)]
pub(in crate::broker) struct SanitizingReactor(Tokio);

/// The runtime for lapin; to be asked for within tokio's.
pub(in crate::broker) fn runtime() -> Runtime<RuntimeParts<Tokio, SanitizingReactor>> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), SanitizingReactor(tokio)))
}

impl Reactor for SanitizingReactor {
    type TcpStream = Sanitized<<Tokio as Reactor>::TcpStream>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connect = self.0.tcp_connect_addr(address);
        async move { connect.await.map(Sanitized::new) }
    }
}
