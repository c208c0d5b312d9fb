//! Asks a broker for the first frame of a connection, which is the proof that connections work.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For the connection, and again for the first frame.
const DEADLINE: Duration = Duration::from_secs(1);

/// Longer than any Connection.Start; a peer that announces more does not speak AMQP.
const MAX_FRAME: usize = 64 * 1024;

/// What a broker says of itself before anyone logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Such as `RabbitMQ`.
    pub product: String,
    /// Such as `3.10.8`.
    pub version: String,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product, self.version)
    }
}

/// Opens a connection, receives Connection.Start and hangs up.
///
/// # Errors
///
/// Nobody listens, or what listens answers late or not as AMQP 0-9-1 (section 4.2.2).
pub async fn preflight(address: SocketAddr) -> io::Result<Server> {
    let mut stream = timeout(DEADLINE, TcpStream::connect(address)).await??;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    let start = timeout(DEADLINE, first_frame(&mut stream)).await??;

    Ok(Server {
        product: text_field(&start, "product").unwrap_or_else(|| "an AMQP broker".into()),
        version: text_field(&start, "version").unwrap_or_else(|| "of unknown version".into()),
    })
}

async fn first_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    const METHOD_ON_CHANNEL_0: [u8; 3] = [1, 0, 0];
    const CONNECTION_START: [u8; 4] = [0, 10, 0, 10];

    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let [kind @ .., a, b, c, d] = head;
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    if kind != METHOD_ON_CHANNEL_0 || size > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "does not speak AMQP 0-9-1"));
    }

    let mut payload = vec![0; size];
    stream.read_exact(&mut payload).await?;
    if !payload.starts_with(&CONNECTION_START) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "did not begin with Connection.Start"));
    }
    Ok(payload)
}

/// Finds a long string in the table of server properties: the name's length and bytes, `S`, the value's length and bytes.
fn text_field(start: &[u8], name: &str) -> Option<String> {
    let mut key = vec![name.len() as u8];
    key.extend_from_slice(name.as_bytes());
    key.push(b'S');

    let at = start.windows(key.len()).position(|window| window == key)? + key.len();
    let length = start.get(at..at + 4)?.try_into().map(u32::from_be_bytes).ok()? as usize;
    let value = start.get(at + 4..(at + 4).checked_add(length)?)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_from_the_table_and_a_cut_off_one_is_not() {
        let start = b"\0\x0a\0\x0a\0\x09\0\0\0\x1c\x07productS\0\0\0\x06Rabbit\x07versionS\0\0\0\x063.1";

        assert_eq!(text_field(start, "product").as_deref(), Some("Rabbit"));
        assert_eq!(text_field(start, "version"), None);
        assert_eq!(text_field(start, "platform"), None);
    }
}
