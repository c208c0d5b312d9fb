//! One connection through the proxy, from its first byte to its end.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::lane::{Ended, carry};
use super::state::{Direction, State};

/// Connects to the server and carries bytes both ways until one side, or somebody at the proxy, ends it.
///
/// `born` is how the state was when the client was accepted: what is cut from then on includes it.
pub(super) async fn connect(
    mut client: TcpStream,
    server: String,
    state: Arc<watch::Sender<State>>,
    born: State,
) {
    let mut watch = state.subscribe();
    let Ok(mut server) = TcpStream::connect(server).await else {
        // As near to "connection refused" as one comes who has accepted it.
        reset(&client);
        return;
    };
    for stream in [&client, &server] {
        // A connection that has ended already shows it at the first read.
        let _ = stream.set_nodelay(true);
    }

    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let to_server = carry(Direction::ToServer, from_client, to_server, &state, &born);
        let to_client = carry(Direction::ToClient, from_server, to_client, &state, &born);
        tokio::select! {
            // First, so that nothing goes on once the caller was told that all are cut.
            biased;
            ended = cut_off(&mut watch, &born) => ended,
            ended = both(to_server, to_client) => ended,
        }
    };
    if ended == Ended::Reset {
        reset(&client);
        reset(&server);
    }
}

/// Waits until all connections are cut or reset.
async fn cut_off(watch: &mut watch::Receiver<State>, born: &State) -> Ended {
    let cut = |state: &State| state.cuts != born.cuts || state.resets != born.resets;
    match watch.wait_for(|state| cut(state)).await {
        Ok(state) if state.resets != born.resets => Ended::Reset,
        // A proxy that is gone cuts, too.
        _ => Ended::Cut,
    }
}

/// Waits for both directions, or for the first that ends the other as well.
async fn both(to_server: impl Future<Output = Ended>, to_client: impl Future<Output = Ended>) -> Ended {
    tokio::pin!(to_server, to_client);
    tokio::select! {
        ended = &mut to_server => match ended {
            Ended::Finished => to_client.await,
            ended => ended,
        },
        ended = &mut to_client => match ended {
            Ended::Finished => to_server.await,
            ended => ended,
        },
    }
}

/// Has the kernel say RST instead of FIN when the socket is closed.
fn reset(stream: &TcpStream) {
    // A socket that cannot be told has ended already.
    let _ = stream.set_zero_linger();
}
