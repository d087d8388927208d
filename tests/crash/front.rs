//! A server in front of the lab's API server that answers some requests in its place, as proxies and load balancers do.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::Lab;

/// What is answered in the place of the API server.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: &str) -> Self {
        Self { status, content_type: "application/json", body: body.to_owned() }
    }
}

/// Whether and how a request is answered here: by its method and its path with query.
type Rule = Box<dyn Fn(&str, &str) -> Option<Answer> + Send + Sync>;

/// The server. It ends with the test's runtime.
pub struct Front {
    /// A kubeconfig that leads here, with the lab's login.
    pub kubeconfig: PathBuf,
    rule: Arc<Mutex<Rule>>,
}

impl Front {
    /// One that passes everything on.
    pub async fn before(lab: &Lab) -> Self {
        let client = lab.client().await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_, _| None)));
        let shared = (rule.clone(), client);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let ((rule, client), acceptor) = (shared.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| serve(request, rule.clone(), client.clone()));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let mut file: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(lab.path("lab/kubeconfig")).unwrap()).unwrap();
        let cluster = &mut file["clusters"][0]["cluster"];
        cluster["server"] = format!("https://{address}").into();
        cluster["certificate-authority-data"] = BASE64_STANDARD.encode(certificate.pem()).into();
        let kubeconfig = lab.path("front-kubeconfig");
        std::fs::write(&kubeconfig, file.to_string()).unwrap();
        Self { kubeconfig, rule }
    }

    /// From now on, requests are answered as this says.
    pub fn answers(&self, rule: impl Fn(&str, &str) -> Option<Answer> + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }
}

async fn serve(
    request: Request<Incoming>,
    rule: Arc<Mutex<Rule>>,
    client: Client,
) -> Result<Response<Either<Body, Full<bytes::Bytes>>>, std::io::Error> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let answer = (rule.lock().unwrap())(parts.method.as_str(), &path);
    if let Some(Answer { status, content_type, body }) = answer {
        let response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
        return Ok(response.body(Either::Right(Full::from(body))).unwrap());
    }
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    for name in [header::HOST, header::AUTHORIZATION, header::ACCEPT_ENCODING, header::USER_AGENT, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    parts.uri = path.parse().unwrap();
    let answer = client.send(Request::from_parts(parts, Body::from(body))).await.map_err(std::io::Error::other)?;
    let (mut head, body) = answer.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(head, Either::Left(body)))
}
