//! The broker's end of the control socket.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Answer, Order};

/// The longest order, in bytes. None that makes sense is near it.
const LONGEST: u64 = 16 * 1024;

/// The longest path of a socket that every system takes.
const LONGEST_PATH: usize = 100;

/// After an accept that failed, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// An order on its way to the broker's core, and where its answer goes.
type Orders = mpsc::UnboundedSender<(Order, oneshot::Sender<Answer>)>;

/// Where the control socket of a broker with this data folder is.
pub fn socket_in(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Listens there. What a killed broker left behind is removed: the store's lock says that no other one runs.
///
/// # Errors
///
/// The folder cannot be written.
pub fn listen(data: &Path) -> io::Result<UnixListener> {
    let socket = socket_in(data);
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => {
            let (path, _folder) = short_path(&socket)?;
            UnixListener::bind(path)
        }
    }
}

/// Connects to one.
pub(super) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (path, _folder) = short_path(socket)?;
    UnixStream::connect(path).await
}

/// A path to the socket that the system takes: of a folder deep down, one over the folder's descriptor, which is good for
/// as long as that is open.
fn short_path(socket: &Path) -> io::Result<(PathBuf, Option<File>)> {
    match (socket.parent(), socket.file_name()) {
        (Some(folder), Some(name)) if socket.as_os_str().len() > LONGEST_PATH => {
            let folder = File::open(folder)?;
            let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
            Ok((path, Some(folder)))
        }
        _ => Ok((socket.into(), None)),
    }
}

/// Hands the orders of any number of clients to the broker's core, and its answers back, until dropped.
///
/// Each client has one order on its way at a time, so what waits is bounded by the number of clients.
pub async fn serve(listener: UnixListener, orders: Orders) {
    // Those that are left end with this future.
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    clients.spawn(attend(client, orders.clone()));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

/// Answers one client until it leaves, or says more than an order has room for.
async fn attend(client: UnixStream, orders: Orders) {
    let (from_client, mut to_client) = client.into_split();
    let mut from_client = BufReader::new(from_client);
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than is allowed tells what is too long from what just fits.
        let read = (&mut from_client).take(LONGEST + 1).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let is_too_long = line.len() as u64 > LONGEST;
        let answer = match is_too_long {
            true => Answer::refused(format!("an order has at most {LONGEST} bytes, and this line has more")),
            false => answer(&line, &orders).await,
        };
        let Ok(mut answer) = serde_json::to_vec(&answer) else { return };
        answer.push(b'\n');
        if to_client.write_all(&answer).await.is_err() || is_too_long {
            return;
        }
    }
}

async fn answer(line: &[u8], orders: &Orders) -> Answer {
    let order = match parse(line) {
        Ok(order) => order,
        Err(error) => return Answer::refused(error),
    };
    let (sender, answered) = oneshot::channel();
    let ended = || Answer::refused("the broker ends and takes no more orders");
    match orders.send((order, sender)) {
        Ok(()) => answered.await.unwrap_or_else(|_| ended()),
        Err(_) => ended(),
    }
}

fn parse(line: &[u8]) -> Result<Order, String> {
    if line.trim_ascii().is_empty() {
        return Err("an empty line is no order: one looks like {\"order\":\"status\"}".into());
    }
    let order: Order = serde_json::from_slice(line).map_err(|error| format!("this is no order: {error}"))?;
    order.check().map(|()| order)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::*;
    use crate::harness::Folder;

    /// A core that answers each `cancel-consumers` with its queue's name, and everything else with "done".
    fn served(folder: &Folder) {
        let (orders, mut received) = mpsc::unbounded_channel::<(Order, oneshot::Sender<Answer>)>();
        tokio::spawn(serve(listen(folder.path()).expect("the folder is new"), orders));
        tokio::spawn(async move {
            while let Some((order, answer)) = received.recv().await {
                let answered = match order {
                    Order::CancelConsumers { queue } => Answer::refused(queue),
                    // As when the broker ends: the answer never comes.
                    Order::Crash => continue,
                    _ => Answer::done(),
                };
                answer.send(answered).expect("it is waited for");
            }
        });
    }

    struct Client(BufReader<UnixStream>);

    impl Client {
        async fn of(folder: &Folder) -> Self {
            let stream = UnixStream::connect(socket_in(folder.path())).await;
            Self(BufReader::new(stream.expect("it listens")))
        }

        async fn say(&mut self, line: &str) -> Answer {
            self.0.write_all(line.as_bytes()).await.expect("it reads");
            self.0.write_all(b"\n").await.expect("it reads");
            self.hear().await
        }

        async fn hear(&mut self) -> Answer {
            let mut answer = String::new();
            let heard = timeout(Duration::from_secs(10), self.0.read_line(&mut answer)).await;
            heard.expect("soon").expect("it answers");
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
        }
    }

    #[tokio::test]
    async fn a_folder_may_be_as_deep_as_it_likes() {
        let folder = Folder::new();
        let deep = folder.path().join("x".repeat(200));
        fs::create_dir(&deep).expect("the folder is ours");
        let (orders, mut received) = mpsc::unbounded_channel::<(Order, oneshot::Sender<Answer>)>();
        tokio::spawn(serve(listen(&deep).expect("a path of 200 bytes is no hindrance"), orders));
        tokio::spawn(async move {
            while let Some((_, answer)) = received.recv().await {
                answer.send(Answer::done()).expect("it is waited for");
            }
        });

        let control = crate::broker::faults::Control::at(&socket_in(&deep));

        assert!(control.order(&Order::Accept).await.expect("it is reached").ok);
    }

    #[tokio::test]
    async fn a_bad_line_is_answered_with_what_is_wrong_and_the_next_one_is_heard() {
        let folder = Folder::new();
        served(&folder);
        let mut client = Client::of(&folder).await;

        for (line, part) in [
            ("", "empty line"),
            ("hello", "this is no order"),
            ("{\"order\":\"dorp\"}", "expected one of `drop`"),
            (
                "{\"order\":\"rule\",\"at\":\"ack-received\",\"effect\":\"nack\"}",
                "possible at publish-received",
            ),
            ("{\"order\":\"add-vhost\",\"name\":\"\"}", "no name"),
            ("{\"order\":\"crash\"}", "the broker ends"),
        ] {
            let answer = client.say(line).await;
            assert!(!answer.ok, "{line}");
            let error = answer.error.expect("it says why");
            assert!(error.contains(part), "{line}: {error}");
        }
        assert_eq!(client.say("{\"order\":\"block\"}").await, Answer::done());
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused_and_not_collected() {
        let folder = Folder::new();
        served(&folder);
        let mut client = Client::of(&folder).await;

        client.0.write_all(&[b'x'; LONGEST as usize + 1]).await.expect("it reads");
        let answer = client.hear().await;

        assert!(answer.error.expect("it says why").contains("at most 16384 bytes"));
        let mut rest = Vec::new();
        // What it did not read any more may come back as a reset.
        let _ = client.0.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }

    #[tokio::test]
    async fn many_clients_are_answered_at_once_each_with_its_own() {
        let folder = Folder::new();
        served(&folder);
        let mut idle = Vec::new();
        for _ in 0..20 {
            idle.push(Client::of(&folder).await);
        }

        join_all((0..20).map(async |number| {
            let mut client = Client::of(&folder).await;
            for turn in 0..20 {
                let queue = format!("{number} {turn}");
                let answer =
                    client.say(&format!("{{\"order\":\"cancel-consumers\",\"queue\":\"{queue}\"}}")).await;
                assert_eq!(answer.error, Some(queue));
            }
        }))
        .await;
    }

    #[tokio::test]
    async fn what_a_killed_broker_left_behind_is_replaced() {
        let folder = Folder::new();
        drop(listen(folder.path()).expect("the folder is new"));
        assert!(socket_in(folder.path()).exists());

        served(&folder);

        assert_eq!(Client::of(&folder).await.say("{\"order\":\"block\"}").await, Answer::done());
    }
}
