//! A publisher that writes its frames byte by byte, as no client library would.

use lapin::uri::AMQPUri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const MARK: u8 = 0xce;

/// One message: to which exchange, by which key, with which properties (flags and all) and which body.
pub struct Letter<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub properties: &'a [u8],
    pub body: &'a [u8],
}

/// Publishes it, and returns when the broker has it.
///
/// # Panics
///
/// When the broker does not take it.
pub async fn publish(url: &str, letter: &Letter<'_>) {
    let uri: AMQPUri = url.parse().expect("a URL");
    let (host, user) = (&uri.authority, &uri.authority.userinfo);
    let mut stream = TcpStream::connect((host.host.as_str(), host.port)).await.expect("a broker listens");
    let login = format!("\0{}\0{}", user.username, user.password);
    let mut write = b"AMQP\0\0\x09\x01".to_vec();
    let start_ok =
        [b"\0\x0a\0\x0b\0\0\0\0\x05PLAIN", &long(login.len())[..], login.as_bytes(), b"\x05en_US"].concat();
    write.extend(frame(METHOD, 0, &start_ok));
    write.extend(frame(METHOD, 0, b"\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0")); // tune-ok
    write.extend(frame(METHOD, 0, &[b"\0\x0a\0\x28", &short(&uri.vhost)[..], b"\0\0"].concat())); // open
    write.extend(frame(METHOD, 1, b"\0\x14\0\x0a\0")); // channel.open
    let publish =
        [b"\0\x3c\0\x28\0\0", &short(letter.exchange)[..], &short(letter.routing_key), b"\0"].concat();
    write.extend(frame(METHOD, 1, &publish));
    let size = (letter.body.len() as u64).to_be_bytes();
    write.extend(frame(HEADER, 1, &[b"\0\x3c\0\0", &size[..], letter.properties].concat()));
    write.extend(frame(BODY, 1, letter.body));
    write.extend(frame(METHOD, 1, b"\0\x14\0\x28\0\xc8\0\0\0\0\0")); // channel.close
    stream.write_all(&write).await.expect("it can be written");

    // What was published before is taken by the time that the channel is closed in order.
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.expect("the broker goes on");
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = vec![0; size + 1];
        stream.read_exact(&mut payload).await.expect("the broker goes on");
        match payload[..4] {
            [0, 20, 0, 41] => return,
            [0, 10, 0, 50] | [0, 20, 0, 40] => {
                panic!("the broker closes: {}", String::from_utf8_lossy(&payload))
            }
            _ => {}
        }
    }
}

fn frame(kind: u8, channel: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 0, channel], &long(payload.len())[..], payload, &[MARK]].concat()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat()
}

fn long(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a length").to_be_bytes()
}
