//! HTTP as bytes, for what a client library would not send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends `request` as it is and returns what comes back until the server closes, which `Connection: close` makes it do.
///
/// # Panics
///
/// When the server does not take the connection, or is not done after ten seconds.
pub async fn exchange(port: u16, request: impl AsRef<[u8]>) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        // A server that has seen enough may close before it has read all.
        let _ = stream.write_all(request.as_ref()).await;
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer).await;
        if answer.is_empty() { ended.map(|_| answer) } else { Ok(answer) }
    };
    let answer = timeout(Duration::from_secs(10), talk).await.expect("the server ends the exchange");
    String::from_utf8_lossy(&answer.expect("the server answers")).into_owned()
}

/// The status code of an answer.
///
/// # Panics
///
/// When it is no answer.
#[track_caller]
pub fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no status line in {answer:?}"))
}
