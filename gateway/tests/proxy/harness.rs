//! A gateway on free ports, the service behind it, and a client that writes bytes as it is told.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    iter,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{self, ExitCode},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
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
    _file: Option<SettingsFile>,
}

/// A settings file of the test's own; removed when dropped.
pub struct SettingsFile(PathBuf);

impl SettingsFile {
    pub fn new(text: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = Self(env::temp_dir().join(format!("gateway-proxy-{}-{number}.toml", process::id())));
        file.write(text);
        file
    }

    pub fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("the folder for temporary files takes one");
    }

    pub fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for SettingsFile {
    fn drop(&mut self) {
        // What is left is left in a folder for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

impl Gateway {
    /// Starts a gateway with `service` behind both routes, a settings file with `text`, and further variables set.
    pub fn configured(service: &Service, text: &str, variables: &[(&str, &str)]) -> Self {
        let file = SettingsFile::new(text);
        let path = file.path();
        let mut all = vec![("GATEWAY_CONFIG", path.as_str())];
        all.extend_from_slice(variables);
        let mut gateway = Self::before(service, &all);
        gateway._file = Some(file);
        gateway
    }

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
                // The process goes on with other tests.
                gateway.run_until_stopped(stop, || {}).await
            })
        });
        let (port, admin_port) = told.recv().expect("the gateway starts");
        let gateway = Self { port, admin_port, stop: Some(stop), thread: Some(thread), _file: None };
        eventually("the gateway is ready", || gateway.admin("/health/ready").status == 200);
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
        client.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// What is counted under this name and these labels, such as `name{label="value"}`; 0 where nothing is.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.admin("/metrics").body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
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

    /// Reads until the gateway closes the connection; returns what came until then.
    pub fn until_closed(&mut self) -> io::Result<String> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            _ => Ok(String::from_utf8_lossy(&rest).into_owned()),
        }
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
    /// Every byte of it.
    pub raw: Vec<u8>,
}

impl Head {
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let (mut lines, mut raw) = (Vec::new(), Vec::new());
        loop {
            let before = raw.len();
            if stream.read_until(b'\n', &mut raw)? == 0 {
                return Ok(None);
            }
            match String::from_utf8_lossy(&raw[before..]).trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let first = lines.next().ok_or(io::ErrorKind::InvalidData)?;
        let fields = lines
            .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.into(), value.into())))
            .collect();
        Ok(Some(Self { first, fields, raw }))
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
    notes: Arc<Notes>,
}

/// What a service writes down, and what it answers to what the gateway asks by itself.
struct Notes {
    seen: Mutex<Vec<Head>>,
    connections: AtomicUsize,
    keys: Mutex<String>,
    health: AtomicU16,
    deaf: AtomicBool,
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
        let notes = Arc::new(Notes {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            keys: Mutex::new("{}".to_owned()),
            health: AtomicU16::new(200),
            deaf: AtomicBool::new(false),
        });
        let (serve, kept) = (Arc::new(serve), notes.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                while kept.deaf.load(Ordering::Relaxed) {
                    thread::park();
                }
                let (serve, notes) = (serve.clone(), kept.clone());
                thread::spawn(move || {
                    // A connection that breaks is what many tests are about.
                    let _ = attend(stream, serve.as_ref(), &notes);
                });
            }
        });
        Self { port, notes }
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

    /// How many connections carried requests of clients.
    pub fn connections(&self) -> usize {
        self.notes.connections.load(Ordering::Relaxed)
    }

    /// The heads that have arrived, but for what the gateway asks by itself.
    pub fn seen(&self) -> Vec<Head> {
        self.notes.seen.lock().expect("no thread panics with it").clone()
    }

    /// Publishes the keys that tokens are verified by.
    pub fn publish_keys(&self, document: String) {
        *self.notes.keys.lock().expect("no thread panics with it") = document;
    }

    /// Accepts no connection any more, and returns as many that wait for it as can: whoever opens another one waits as long as
    /// these are held.
    pub fn accept_no_more(&self) -> Vec<TcpStream> {
        self.notes.deaf.store(true, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let open = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        iter::from_fn(open).collect()
    }

    /// How many connections to it are being opened, as the kernel tells it (proc_net_tcp(5), state SYN_SENT).
    pub fn half_open(&self) -> usize {
        let (port, table) = (format!(":{:04X}", self.port), fs::read_to_string("/proc/net/tcp"));
        let is_half_open = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.get(2).is_some_and(|remote| remote.ends_with(&port)) && fields.get(3) == Some(&"02")
        };
        table.expect("Linux tells it").lines().filter(is_half_open).count()
    }

    /// Says from now on how it is with this status.
    pub fn say_health(&self, status: u16) {
        self.notes.health.store(status, Ordering::Relaxed);
    }
}

fn attend(
    stream: TcpStream,
    serve: &(dyn Fn(&mut Visit<'_>) -> io::Result<()> + Send + Sync),
    notes: &Notes,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = BufReader::new(stream);
    let mut first = true;
    while let Some(head) = Head::read(&mut stream)? {
        let mut visit = Visit { head, stream: &mut stream };
        // What the gateway asks by itself.
        let own = match visit.head.target() {
            "/health/ready" => Some((notes.health.load(Ordering::Relaxed), "{}".to_owned())),
            "/.well-known/jwks.json" => {
                Some((200, notes.keys.lock().expect("no thread panics with it").clone()))
            }
            "/openapi.json" => Some((200, "{}".to_owned())),
            _ => None,
        };
        if let Some((status, body)) = own {
            visit.reply(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()))?;
            continue;
        }
        if std::mem::take(&mut first) {
            notes.connections.fetch_add(1, Ordering::Relaxed);
        }
        notes.seen.lock().expect("no thread panics with it").push(visit.head.clone());
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

    /// Reads whatever comes next; `None` at the end.
    pub fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let piece = self.stream.fill_buf()?.to_vec();
        self.stream.consume(piece.len());
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
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
