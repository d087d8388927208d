//! One small TLS server with whatever a server should not do.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    pub head: String,
    pub body: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// An ordinary answer: status, further headers, body.
    Good(u16, Vec<(&'static str, String)>, String),
    /// Not one.
    Bad(Bad),
}

impl Answer {
    pub fn json(body: impl ToString) -> Self {
        Self::Good(200, vec![("content-type", "application/json".to_owned())], body.to_string())
    }

    pub fn xml(body: &str) -> Self {
        Self::Good(200, vec![("content-type", "text/xml".to_owned())], body.to_owned())
    }
}

/// What a server should not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bad {
    /// A text without an end, in chunks.
    Endless,
    /// Values without an end: little to read, much to keep.
    Values,
    /// A length of a tebibyte.
    Huge,
    /// A body that says it is compressed.
    Gzip,
    /// Nesting of a hundred thousand levels.
    Deep,
    /// A success without a body.
    Empty,
    /// `{}`.
    Braces,
    /// A page for people.
    Html,
    /// A number where an object is expected.
    WrongType,
    /// 404 of a proxy, with a page.
    ProxyNotFound,
    /// The end before the length that was said.
    Cut,
    /// Headers without an end.
    Headers,
    /// 102 Processing without an end.
    Informational,
    /// A byte now and then.
    Drip,
    /// 503 with these words.
    Words(String),
    /// To another address, with the request's own body: 307.
    Elsewhere(String),
}

/// A server that lives as long as the test.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    news: Mutex<Receiver<()>>,
}

/// What a server answers to a request.
pub type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

impl Server {
    /// Starts one; without TLS if there is no configuration for it.
    pub fn start(tls: Option<Arc<ServerConfig>>, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (told, news) = channel();
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, script, seen, told) = (tls.clone(), script.clone(), seen.clone(), told.clone());
                // What the client thinks of it shows in the client.
                thread::spawn(move || drop(serve(stream, tls, script.as_ref(), &seen, &told)));
            }
        });
        Self { address, asked, news: Mutex::new(news) }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it has been asked for something since the last call.
    pub fn wait(&self) {
        let asked = self.news.lock().unwrap().recv_timeout(Duration::from_mins(2));
        assert!(asked.is_ok(), "nobody asked this server");
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn serve(tcp: TcpStream, tls: Option<Arc<ServerConfig>>, script: &Script, seen: &Mutex<Vec<Asked>>, told: &Sender<()>) -> io::Result<()> {
    let mut stream: Box<dyn Stream> = match tls {
        Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls).map_err(io::Error::other)?, tcp)),
        None => Box::new(tcp),
    };
    loop {
        let Some(asked) = read(&mut stream)? else { return Ok(()) };
        seen.lock().unwrap().push(asked.clone());
        let _nobody_waits = told.send(());
        match script(&asked) {
            Answer::Good(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
                stream.flush()?;
            }
            Answer::Bad(bad) => return misbehave(&mut stream, &bad),
        }
    }
}

fn read(stream: &mut Box<dyn Stream>) -> io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut piece)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap()));
    while bytes.len() < end + length.unwrap_or(0) {
        match stream.read(&mut piece)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body = String::from_utf8_lossy(&bytes[end..]).into_owned();
    Ok(Some(Asked { method, path, head, body }))
}

/// Writes the same for ever, which ends when the client has gone.
fn repeat(stream: &mut Box<dyn Stream>, piece: &str) -> io::Result<()> {
    let many = piece.repeat(64 * 1024 / piece.len());
    let chunk = format!("{:x}\r\n{many}\r\n", many.len());
    loop {
        stream.write_all(chunk.as_bytes())?;
    }
}

fn misbehave(stream: &mut Box<dyn Stream>, bad: &Bad) -> io::Result<()> {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut say = |text: &str| stream.write_all(text.as_bytes());
    let whole = |kind: &str, body: &str| format!("{OK}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    match bad {
        Bad::Endless => {
            say(&format!("{CHUNKED}2\r\n[\"\r\n"))?;
            repeat(stream, "endless ")?;
        }
        Bad::Values => {
            say(&format!("{CHUNKED}1\r\n[\r\n"))?;
            repeat(stream, "[],")?;
        }
        Bad::Huge => {
            say(&format!("{OK}content-length: {}\r\n\r\n[", 1_u64 << 40))?;
            repeat(stream, "1,")?;
        }
        Bad::Gzip => say(&format!("{OK}content-encoding: gzip\r\ncontent-length: 6\r\n\r\n\u{1f}bomb!"))?,
        Bad::Deep => {
            let (open, close) = ("<a>".repeat(100_000), "</a>".repeat(100_000));
            let body = format!("{open}{close}{}", "[".repeat(100_000));
            say(&whole("application/json", &body))?;
        }
        Bad::Empty => say(&whole("application/json", ""))?,
        Bad::Braces => say(&whole("application/json", "{}"))?,
        Bad::Html => say(&whole("text/html", "<html><body>Please log in to the network</body></html>"))?,
        Bad::WrongType => say(&whole("application/json", "7"))?,
        Bad::ProxyNotFound => {
            let body = "<html><h1>404 Not Found</h1><p>by the proxy</p></html>";
            say(&format!("HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{body}", body.len()))?;
        }
        Bad::Cut => say(&format!("{OK}content-length: 1000\r\n\r\n{{\"a\": "))?,
        Bad::Headers => {
            say(OK)?;
            loop {
                stream.write_all(format!("x-{}: {}\r\n", "y".repeat(50), "z".repeat(1000)).as_bytes())?;
            }
        }
        Bad::Informational => loop {
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        },
        Bad::Drip => {
            say(&format!("{OK}content-length: 1000000\r\n\r\n"))?;
            loop {
                stream.write_all(b" ")?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(100));
            }
        }
        Bad::Words(words) => {
            say(&format!("HTTP/1.1 503 Busy\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{words}", words.len()))?;
        }
        Bad::Elsewhere(to) => say(&format!("HTTP/1.1 307 Elsewhere\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"))?,
    }
    stream.flush()
}
