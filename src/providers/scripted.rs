//! A server on loopback that answers as a test says, one request per connection.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::config::profile::{Details, Profile};

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Verb and path.
    pub what: String,
    /// The headers, as they were sent.
    pub headers: String,
    /// The body.
    pub body: String,
}

impl Asked {
    /// Whether a header has this value.
    pub fn has(&self, name: &str, value: &str) -> bool {
        let lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().any(|(key, found)| key.eq_ignore_ascii_case(name) && found.trim() == value)
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Say {
    /// Answers with a status and a body.
    Answer(u16, String),
    /// Ends the connection without an answer.
    HangUp,
}

/// The server; it ends with this value.
#[derive(Debug)]
pub struct Scripted {
    /// Its address.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: AbortHandle,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scripted {
    /// Serves. The script gets each request, and how many of the same verb and path there were before it.
    pub async fn serve(script: impl Fn(&Asked, usize) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, script) = (Arc::new(Mutex::new(Vec::new())), Arc::new(script));
        let log = asked.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, script) = (log.clone(), script.clone());
                tokio::spawn(async move {
                    let _ = exchange(stream, &log, script.as_ref()).await;
                });
            }
        });
        Self { url, asked, serving: serving.abort_handle() }
    }

    /// A profile that leads here.
    pub fn profile(&self, path: &str, details: Details) -> Profile {
        Profile { api_url: format!("{}{path}", self.url), allow_plain_http: true, username: "joe".to_owned(), ..Profile::new("x", details) }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests there were of a verb and path.
    pub fn count(&self, what: &str) -> usize {
        self.asked().iter().filter(|asked| asked.what == what).count()
    }
}

async fn exchange(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    script: &(impl Fn(&Asked, usize) -> Say + Send + Sync),
) -> std::io::Result<()> {
    let mut raw = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut raw).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&raw);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        break (head.to_owned(), length.unwrap_or(0));
    };
    let begin = head.len() + 4;
    while raw.len() < begin + length {
        if stream.read_buf(&mut raw).await? == 0 {
            return Ok(());
        }
    }
    let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    let what = line.rsplit_once(' ').map_or(line, |(what, _)| what).to_owned();
    let asked = Asked { what, headers: headers.to_owned(), body: String::from_utf8_lossy(&raw[begin..]).into_owned() };
    let say = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|earlier| earlier.what == asked.what).count();
        log.push(asked.clone());
        script(&asked, before)
    };
    let Say::Answer(status, body) = say else { return Ok(()) };
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}
