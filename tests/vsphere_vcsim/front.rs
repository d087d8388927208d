//! A proxy that loses what it is told to lose, method by method: what happens between a client and a vCenter on bad days.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use mtv_api::xml::Node;
use tokio::net::TcpListener;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives; the connection breaks.
    LostOnTheWay,
    /// It arrives; the connection breaks before the answer.
    AnswerLost,
    /// A gateway answers in the server's place.
    Status(u16),
    /// Nobody ever answers.
    Silence,
}

/// The proxy. It ends with the test's runtime.
pub struct Front {
    /// SDK URL.
    pub url: String,
    fates: Arc<Mutex<Vec<(String, Fate)>>>,
}

impl Front {
    /// A proxy for an SDK URL.
    pub async fn before(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/sdk", listener.local_addr().unwrap());
        let fates = Arc::new(Mutex::new(Vec::new()));
        let shared = (fates.clone(), target.to_owned(), reqwest::Client::builder().no_proxy().build().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (fates, target, client) = shared.clone();
                let service = service_fn(move |request| serve(request, fates.clone(), target.clone(), client.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, fates }
    }

    /// The next request of this method meets this fate. Fates of one method add up.
    pub fn next(&self, method: &str, fate: Fate) {
        self.fates.lock().unwrap().push((method.to_owned(), fate));
    }

    /// Fates that nobody met.
    pub fn left(&self) -> usize {
        self.fates.lock().unwrap().len()
    }
}

async fn serve(
    request: Request<Incoming>,
    fates: Arc<Mutex<Vec<(String, Fate)>>>,
    target: String,
    client: reqwest::Client,
) -> Result<Response<Full<bytes::Bytes>>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let method = Node::parse(&String::from_utf8_lossy(&body)).ok().and_then(|e| Some(e.child("Body")?.children.first()?.name.clone()));
    let fate = {
        let mut fates = fates.lock().unwrap();
        let at = fates.iter().position(|(name, _)| Some(name) == method.as_ref());
        at.map(|at| fates.remove(at).1)
    };
    match fate {
        Some(Fate::LostOnTheWay) => return Err(io::Error::other("lost")),
        Some(Fate::Status(status)) => return Ok(Response::builder().status(status).body(Full::default()).unwrap()),
        Some(Fate::Silence) => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Some(Fate::AnswerLost) | None => {}
    }
    let headers = parts.headers.into_iter().filter_map(|(name, value)| Some((name?, value))).filter(|(name, _)| name != "host");
    let answer = client.post(target).headers(headers.collect()).body(body).send().await.map_err(io::Error::other)?;
    let mut response = Response::builder().status(answer.status());
    for cookie in answer.headers().get_all("set-cookie") {
        response = response.header("set-cookie", cookie);
    }
    let body = answer.bytes().await.map_err(io::Error::other)?;
    if fate == Some(Fate::AnswerLost) {
        return Err(io::Error::other("lost"));
    }
    Ok(response.body(Full::new(body)).unwrap())
}
