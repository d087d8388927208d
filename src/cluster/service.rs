//! Services behind a Route of the cluster that answer JSON: the inventory, monitoring. One way to read them, with its retries.

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde::de::{Error as _, IgnoredAny};

use super::{Cluster, describe, fate};
use crate::{
    diagnosis::{Diagnosis, Explained},
    retry::{self, Fate, GaveUp, NoAnswer, Policy, Safety, asked_pause},
    secrets::excerpt,
};

/// Longest text of an answer that an error repeats, characters.
const REPEATED: usize = 300;

/// In the header the inventory says why it refuses.
const WHY: &str = "Forklift-Error-Message";

/// Why one try gave no answer that can be used.
type TryError = retry::TryError<kube::Error>;

/// A service that cannot be used, and will not be by waiting: its certificate is not trusted, or it refuses the login.
#[derive(Debug)]
pub struct Unusable(pub String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// An error that is an [`Unusable`] for those who wait.
pub fn unusable(mut trouble: Diagnosis) -> anyhow::Error {
    let summary = std::mem::take(&mut trouble.summary);
    anyhow::Error::from(Explained(trouble)).context(Unusable(summary))
}

/// What an answer says, for an error: `: TEXT`, or nothing.
pub fn said(body: &[u8]) -> String {
    let text = excerpt(String::from_utf8_lossy(body).trim(), REPEATED);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

/// A service, as seen with the login to the cluster.
#[derive(Clone)]
pub struct Service {
    client: Client,
    policy: Policy,
    /// For people: `the inventory`.
    name: &'static str,
}

impl Cluster {
    /// The service behind a Route. `name` is what errors call it.
    pub async fn service(&self, namespace: &str, route: &str, name: &'static str) -> anyhow::Result<Service> {
        Ok(Service { client: self.behind_route(namespace, route).await?, policy: self.policy(), name })
    }
}

impl Service {
    /// Reads a path: status and body. A body of 200 is JSON; that of a refusal is what the service says.
    ///
    /// # Errors
    /// No answer, or none but that the service is busy; with how often it was asked.
    pub async fn read(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        match self.policy.run(Safety::Repeatable, |error: &TryError| error.fate(fate), |patience| self.ask(path, patience)).await {
            Ok(answer) => Ok(answer),
            Err(GaveUp { error: TryError::Lost(error), story }) => {
                let described = describe(&error, story, "read", &format!("{path} of {}", self.name));
                match (fate(&error), described.downcast::<Explained>()) {
                    (Fate::Final, Ok(Explained(trouble))) => Err(unusable(trouble)),
                    (_, Ok(explained)) => Err(explained.into()),
                    (_, Err(other)) => Err(other),
                }
            }
            Err(GaveUp { error: TryError::Busy(status, _, said), story }) => {
                Err(anyhow::anyhow!("{} answered {status}{story}{said}", self.name)).with_context(|| self.failed(path))
            }
            Err(GaveUp { error: TryError::Garbled(status, what), story }) => {
                Err(anyhow::anyhow!("{} answered {status} {what}{story}", self.name)).with_context(|| self.failed(path))
            }
        }
    }

    /// What an error about a path begins with.
    pub fn failed(&self, path: &str) -> String {
        format!("failed to read {path} of {}", self.name)
    }

    async fn ask(&self, path: &str, patience: std::time::Duration) -> Result<(StatusCode, Bytes), TryError> {
        let request = Request::get(path).body(Body::empty()).map_err(|error| TryError::Lost(kube::Error::HttpError(error)))?;
        let whole = async {
            let response = self.client.send(request).await?;
            let (head, body) = response.into_parts();
            Ok((head, body.collect().await?.to_bytes()))
        };
        let late = |_| kube::Error::Service(Box::new(NoAnswer(patience)));
        let (head, body) = tokio::time::timeout(patience, whole).await.map_err(late).flatten().map_err(TryError::Lost)?;
        let pause = asked_pause(&head.headers);
        match head.status {
            // These services have no errors of a moment but those of their own reads.
            StatusCode::INTERNAL_SERVER_ERROR => Err(TryError::Busy(head.status, Fate::Unclear(pause), said(&body))),
            // An answer that was cut without a word, or that a proxy changed.
            StatusCode::OK if serde_json::from_slice::<IgnoredAny>(&body).is_err() => {
                Err(TryError::Lost(kube::Error::SerdeError(serde_json::Error::custom("it is no JSON"))))
            }
            status => match Fate::of_status(status.as_u16(), pause) {
                Some(fate) => Err(TryError::Busy(status, fate, said(&body))),
                None if body.is_empty() => {
                    let why = head.headers.get(WHY).map(|why| Bytes::copy_from_slice(why.as_bytes()));
                    Ok((status, why.unwrap_or(body)))
                }
                None => Ok((status, body)),
            },
        }
    }
}
