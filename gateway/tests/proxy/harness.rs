//! A gateway on free ports, the service behind it, and a client that writes bytes as it is told.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use common::config::Environment;
use gateway::{config::Config, startup};
use tokio::sync::oneshot;

/// Longest wait for anything that should happen at once.
pub const SOON: Duration = Duration::from_secs(5);

/// Waits until `check` is true.
#[track_caller]
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !check() {
        assert!(Instant::now() < end, "{what}: not within {SOON:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A gateway in a thread of its own; stopped when dropped.
pub struct Gateway {
    pub port: u16,
    pub admin_port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<ExitCode>>,
}

impl Gateway {
    /// Starts a gateway with `service` behind both routes, and further variables set.
    pub fn before(service: &Service, variables: &[(&str, &str)]) -> Self {
        let url = service.url();
        let mut all = vec![("USER_URL", url.as_str()), ("ORDER_URL", url.as_str())];
        all.extend_from_slice(variables);
        Self::start(&all)
    }

    /// Starts a gateway with variables set.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let defaults = [
            ("PORT", "0"),
            ("ADMIN_PORT", "0"),
            ("GATEWAY_HEALTH_MS", "20"),
            ("AUTH", "open"),
            ("RATE_LIMIT", "off"),
        ];
        let pairs =
            defaults.iter().chain(variables).map(|(name, value)| (name.to_string(), value.to_string()));
        let mut env = Environment::from_pairs(pairs);
        let config = Config::from_env(&mut env);
        env.finish().expect("the test's variables are sound");

        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix::System::new().block_on(async move {
                let gateway = startup::Gateway::build(config).expect("there are free ports");
                tell.send((gateway.port(), gateway.admin_port())).expect("the test waits");
                let stop = async {
                    let _ = stopped.await;
                };
                gateway.run_until_stopped(stop).await
            })
        });
        let (port, admin_port) = told.recv().expect("the gateway starts");
        let gateway = Self { port, admin_port, stop: Some(stop), thread: Some(thread) };
        eventually("the gateway is ready", || {
            gateway.connect().ask("GET /health/ready HTTP/1.1\r\nHost: test\r\n\r\n").status == 200
        });
        gateway
    }

    /// Opens a connection to the public port.
    pub fn connect(&self) -> Client {
        Client::connect(self.port).expect("the gateway listens")
    }

    /// Sends one request (its first line, and further ones) over a connection of its own.
    pub fn ask(&self, lines: &str) -> Answer {
        self.connect().ask(&request(lines))
    }

    /// Gets `path` from the admin port.
    pub fn admin(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.admin_port).expect("the admin server listens");
        client.ask(&request(&format!("GET {path} HTTP/1.1")))
    }

    /// Asks the gateway to stop, without waiting for it.
    pub fn begin_stop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = self.stop.take().expect("stopped once").send(());
    }

    /// Whether the gateway has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the gateway's end and returns its exit code.
    pub fn wait(&mut self) -> ExitCode {
        self.thread.take().expect("waited for once").join().expect("the gateway does not panic")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || ended.is_ok(), "the gateway panicked");
        }
    }
}

/// Completes the lines of a head.
pub fn request(lines: &str) -> String {
    let (first, rest) = lines.split_once('\n').unwrap_or((lines, ""));
    let mut head = format!("{first}\r\nHost: shop.example\r\n");
    for line in rest.lines() {
        head.push_str(line.trim());
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// A connection to the gateway.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the connection takes it");
    }

    pub fn ask(&mut self, request: &str) -> Answer {
        self.try_ask(request).expect("a whole answer")
    }

    pub fn try_ask(&mut self, request: &str) -> io::Result<Answer> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer(request.starts_with("HEAD"))
    }

    /// Reads a whole answer.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Answer> {
        let head = self.head()?;
        let body = read_body(&mut self.stream, &head, to_head, head.status().unwrap_or(0))?;
        Ok(Answer { status: head.status().map_err(io::Error::other)?, head, body })
    }

    pub fn head(&mut self) -> io::Result<Head> {
        Head::read(&mut self.stream)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads the next `length` bytes as text.
    pub fn read(&mut self, length: usize) -> io::Result<String> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// A head of a request or an answer: its first line and its fields, as they came.
#[derive(Clone, Debug)]
pub struct Head {
    pub first: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let first = lines.next().ok_or(io::ErrorKind::InvalidData)?;
        let fields = lines
            .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.into(), value.into())))
            .collect();
        Ok(Some(Self { first, fields }))
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The second word of the first line: a request's target.
    pub fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    fn status(&self) -> Result<u16, std::num::ParseIntError> {
        self.target().parse()
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// Whether this is a problem with `status` that names its request.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, error: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.head.get("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["error"], error);
        assert_eq!(problem["requestId"].as_str(), self.head.get("x-request-id"));
        assert!(problem["requestId"].is_string());
    }

    pub fn closes(&self) -> bool {
        self.head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

fn read_body(stream: &mut impl BufRead, head: &Head, to_head: bool, status: u16) -> io::Result<String> {
    let mut body = Vec::new();
    if to_head || matches!(status, 100..=199 | 204 | 304) {
        return Ok(String::new());
    }
    if head.get("transfer-encoding").is_some() {
        while let Some(chunk) = read_chunk(stream)? {
            body.extend_from_slice(&chunk);
        }
    } else if let Some(length) = head.get("content-length") {
        body = vec![0; length.parse().map_err(io::Error::other)?];
        stream.read_exact(&mut body)?;
    } else if status > 0 {
        stream.read_to_end(&mut body)?;
    }
    String::from_utf8(body).map_err(io::Error::other)
}

fn read_chunk(stream: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
    let mut chunk = vec![0; length + 2];
    stream.read_exact(&mut chunk)?;
    chunk.truncate(length);
    Ok((length > 0).then_some(chunk))
}

/// A service that does with every request what the test says, and writes down every head that arrives.
pub struct Service {
    port: u16,
    seen: Arc<Mutex<Vec<Head>>>,
    connections: Arc<AtomicUsize>,
}

/// One request at the service, its body not yet read.
pub struct Visit<'a> {
    pub head: Head,
    stream: &'a mut BufReader<TcpStream>,
}

impl Service {
    /// Starts a service; a connection ends when `serve` fails.
    pub fn start(serve: impl Fn(&mut Visit<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (serve, noted, counted) = (Arc::new(serve), seen.clone(), connections.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                let (serve, noted) = (serve.clone(), noted.clone());
                thread::spawn(move || {
                    // A connection that breaks is what many tests are about.
                    let _ = attend(stream, serve.as_ref(), &noted);
                });
            }
        });
        Self { port, seen, connections }
    }

    /// A service that reads every request and answers it with "ok".
    pub fn ok() -> Self {
        Self::start(|visit| {
            visit.body()?;
            visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        })
    }

    /// A service that answers every request with the same bytes.
    pub fn answering(bytes: &'static str) -> Self {
        Self::start(move |visit| {
            visit.body()?;
            visit.reply(bytes)
        })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The heads that have arrived, but for questions about health.
    pub fn seen(&self) -> Vec<Head> {
        self.seen.lock().expect("no thread panics with it").clone()
    }
}

fn attend(
    stream: TcpStream,
    serve: &(dyn Fn(&mut Visit<'_>) -> io::Result<()> + Send + Sync),
    seen: &Mutex<Vec<Head>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream)? {
        let mut visit = Visit { head, stream: &mut stream };
        // What the gateway asks by itself.
        if matches!(visit.head.target(), "/health/ready" | "/openapi.json" | "/.well-known/jwks.json") {
            visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
            continue;
        }
        seen.lock().expect("no thread panics with it").push(visit.head.clone());
        serve(&mut visit)?;
    }
    Ok(())
}

impl Visit<'_> {
    /// Reads the whole body.
    pub fn body(&mut self) -> io::Result<String> {
        read_body(self.stream, &self.head, false, 0)
    }

    /// Reads the next chunk of a chunked body.
    pub fn chunk(&mut self) -> io::Result<Option<String>> {
        let chunk = read_chunk(self.stream)?;
        chunk.map(|chunk| String::from_utf8(chunk).map_err(io::Error::other)).transpose()
    }

    pub fn reply(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Waits until the gateway closes the connection; returns what came until then.
    pub fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(rest),
            other => other.map(|_| rest),
        }
    }

    pub fn close(&mut self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Both)
    }
}
