//! Asks whether a broker is there before lapin does.
//!
//! lapin's handshake has no deadline, and a broker that is stopped (SIGSTOP) accepts connections and says
//! nothing. Here, everything that can hang is tried with a plain socket and a deadline first.

use std::{net::SocketAddr, time::Duration};

use lapin::types::{AMQPValue, FieldTable, parsing::parse_field_table};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{BrokerConfig, BrokerError, error::explain_io, sanitizer::sanitize_table};

/// How long connecting may take.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// How long the broker may take for its first word.
const START_DEADLINE: Duration = Duration::from_secs(5);

const PROTOCOL_HEADER: &[u8] = b"AMQP\0\0\x09\x01";

/// The largest first frame that is taken for a `Connection.Start`; RabbitMQ's is about 500 bytes.
const START_MAX: usize = 64 * 1024;

/// A broker that answers.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it answered.
    pub(super) address: SocketAddr,
    /// Product and version, if it told them: `RabbitMQ 3.10.8`.
    pub(super) product: Option<String>,
}

/// Connects, waits for the broker's first word, and hangs up.
///
/// # Errors
/// Says which of these failed.
pub(super) async fn find(config: &BrokerConfig) -> Result<Found, BrokerError> {
    let at = config.address();
    let authority = &config.uri.authority;
    let connect = timeout(CONNECT_DEADLINE, TcpStream::connect((authority.host.as_str(), authority.port)));
    let mut stream = match connect.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(BrokerError::unreachable(format!("connect to {at}"), explain_io(&error)));
        }
        Err(_) => return Err(BrokerError::unreachable(format!("connect to {at}"), "no answer within 1 s")),
    };
    let address = stream
        .peer_addr()
        .map_err(|error| BrokerError::unreachable(format!("connect to {at}"), explain_io(&error)))?;
    let greet = || format!("begin with the broker at {at}");
    match timeout(START_DEADLINE, greeting(&mut stream)).await {
        Ok(Ok(properties)) => Ok(Found { address, product: product(&properties) }),
        Ok(Err(error)) => Err(BrokerError::unreachable(greet(), explain_io(&error))),
        Err(_) => {
            Err(BrokerError::unreachable(greet(), "it accepts connections, but said nothing within 5 s"))
        }
    }
}

/// Sends the protocol header and returns the server's properties.
async fn greeting(stream: &mut TcpStream) -> std::io::Result<FieldTable> {
    stream.write_all(PROTOCOL_HEADER).await?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let size = start_size(&head).map_err(std::io::Error::other)?;
    // The frame's last byte is a mark.
    let mut payload = vec![0; size + 1];
    stream.read_exact(&mut payload).await?;
    server_properties(&mut payload[..size]).map_err(std::io::Error::other)
}

/// Returns the size of the payload that follows a frame's head.
fn start_size(head: &[u8; 7]) -> Result<usize, &'static str> {
    match *head {
        [b'A', b'M', b'Q', b'P', ..] => Err("it speaks another version of AMQP than 0-9-1"),
        [1, 0, 0, a, b, c, d] => match u32::from_be_bytes([a, b, c, d]) as usize {
            size if size <= START_MAX => Ok(size),
            _ => Err("its first frame is too large for a broker's"),
        },
        _ => Err("what answers is not an AMQP broker"),
    }
}

/// Reads a `Connection.Start`: class 10, method 10, two version bytes, the server's properties.
fn server_properties(payload: &mut [u8]) -> Result<FieldTable, &'static str> {
    match payload {
        [0, 10, 0, 10, _, _, table @ ..] => {
            sanitize_table(table);
            // What product it is only decorates; an odd table is no reason not to connect.
            Ok(parse_field_table(&*table).map(|(_, table)| table).unwrap_or_default())
        }
        _ => Err("it does not begin as an AMQP broker does"),
    }
}

fn product(properties: &FieldTable) -> Option<String> {
    let text = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    };
    let product = text("product")?;
    Some(match text("version") {
        Some(version) => format!("{product} {version}"),
        None => product,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_start_is_recognised_and_tells_the_product() {
        let mut table = Vec::new();
        for (name, value) in [("product", "RabbitMQ"), ("version", "3.10.8")] {
            table.push(u8::try_from(name.len()).expect("a short name"));
            table.extend_from_slice(name.as_bytes());
            table.push(b'S');
            table.extend_from_slice(&u32::try_from(value.len()).expect("a short value").to_be_bytes());
            table.extend_from_slice(value.as_bytes());
        }
        let mut payload = vec![0, 10, 0, 10, 0, 9];
        payload.extend_from_slice(&u32::try_from(table.len()).expect("a short table").to_be_bytes());
        payload.extend_from_slice(&table);

        let properties = server_properties(&mut payload).expect("a sound Connection.Start");

        assert_eq!(product(&properties).as_deref(), Some("RabbitMQ 3.10.8"));
    }

    #[test]
    fn what_is_not_a_broker_is_told_from_one() {
        assert_eq!(start_size(&[1, 0, 0, 0, 0, 1, 244]), Ok(500));
        for head in [b"HTTP/1.", b"AMQP\0\x01\0", b"\x01\0\0\xff\0\0\0"] {
            assert!(start_size(head).is_err(), "{head:?}");
        }
        assert!(server_properties(&mut b"\0\x0a\0\x0b\0\x09".to_owned()).is_err());
    }
}
