//! Creating what must not be there twice, and must not be somebody else's.

use kube::api::DynamicObject;
use mtv_api::kinds::Kind;
use serde::de::Error as _;
use serde_json::Value;

use super::{Cluster, fate, is_conflict};
use crate::retry::{Fate, Story};

/// Why an object was not created.
#[derive(Debug)]
pub enum NotCreated {
    /// It was refused, or there was no answer.
    Failed {
        /// The last answer.
        error: kube::Error,
        /// How often it was tried.
        story: Story,
        /// Whether it may be there all the same: an answer was lost, and it was not to be seen afterwards.
        unclear: bool,
    },
    /// An object of its name is there and is not ours. It was left alone.
    Foreign,
    /// It is not known whether the object is there, or whose it is, and the look at it failed.
    Unseen(anyhow::Error),
}

impl Cluster {
    /// Creates an object, once. When the answer is unclear or the name is taken, the object there is ours only if `is_ours`: a name
    /// conflict is answered "is it mine?", never adopted. What is not there is sent again; a name is unique, so that a first request
    /// that arrives late makes the second one a conflict, and no second object.
    ///
    /// # Errors
    /// See [`NotCreated`].
    pub async fn create_once(
        &self,
        kind: &'static Kind,
        body: &Value,
        is_ours: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject, NotCreated> {
        let (name, namespace) = (body["metadata"]["name"].as_str().unwrap_or_default(), body["metadata"]["namespace"].as_str());
        let mut tries = self.policy().start();
        // Whether an attempt may have made the object without our knowing.
        let mut unclear = false;
        loop {
            let patience = tries.begin();
            let error = match self.post(kind, namespace, body, patience).await {
                Ok(object) if object.metadata.uid.is_some() && object.metadata.name.as_deref() == Some(name) => return Ok(object),
                Ok(_) => kube::Error::SerdeError(serde_json::Error::custom("it is not the object that was sent, with a UID")),
                Err(error) => error,
            };
            let after = match fate(&error) {
                Fate::NotNow(after) => after,
                // Only a refusal proves that nothing was made.
                Fate::Final if !is_conflict(&error) => return Err(NotCreated::Failed { error, story: tries.story(), unclear }),
                Fate::Unclear(after) => {
                    unclear = true;
                    after
                }
                Fate::Final => None,
            };
            if unclear || is_conflict(&error) {
                match self.get(kind, namespace, name).await.map_err(NotCreated::Unseen)? {
                    Some(object) if is_ours(&object) => return Ok(object),
                    Some(_) => return Err(NotCreated::Foreign),
                    None => {}
                }
            }
            if !tries.again(after).await {
                return Err(NotCreated::Failed { error, story: tries.story(), unclear });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mtv_api::kinds;
    use serde_json::json;

    use super::*;
    use crate::{
        providers::scripted::{Say, Scripted},
        retry::Policy,
    };

    fn secret(run: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "x", "namespace": "n", "uid": format!("of-{run}"), "labels": { "run": run } },
        })
    }

    fn status(code: u16, reason: &str) -> Say {
        let body = json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason });
        Say::Answer(code, body.to_string())
    }

    /// What the API server does with each request to create, and what is there when it is looked at; what comes of it, with how
    /// many requests and looks.
    #[tokio::test]
    async fn what_is_there_is_ours_or_left_alone_and_what_is_not_there_is_sent_again() {
        let made = || Say::Answer(201, secret("me").to_string());
        let conflict = || status(409, "AlreadyExists");
        let nothing = || status(404, "NotFound");
        let there = |run: &str| Say::Answer(200, secret(run).to_string());
        for (case, posts, looks, expected) in [
            ("made", vec![made()], vec![], ("of-me", 1, 0)),
            ("made, and the answer lost", vec![Say::HangUp], vec![there("me")], ("of-me", 1, 1)),
            ("not made, and the answer lost", vec![Say::HangUp, made()], vec![nothing()], ("of-me", 2, 1)),
            ("made late: the second request is a conflict", vec![Say::HangUp, conflict()], vec![nothing(), there("me")], ("of-me", 2, 2)),
            ("an answer that is not the object", vec![Say::Answer(201, "{}".into())], vec![there("me")], ("of-me", 1, 1)),
            ("ours from an earlier attempt", vec![conflict()], vec![there("me")], ("of-me", 1, 1)),
            ("somebody else's", vec![conflict()], vec![there("you")], ("foreign", 1, 1)),
            ("lost, and somebody else's is there", vec![Say::HangUp], vec![there("you")], ("foreign", 1, 1)),
            ("refused", vec![status(403, "Forbidden")], vec![], ("refused, surely not there", 1, 0)),
            ("lost, then refused", vec![Say::HangUp, status(403, "Forbidden")], vec![nothing()], ("refused, perhaps there", 2, 1)),
            ("busy, then made", vec![status(429, "TooManyRequests"), made()], vec![], ("of-me", 2, 0)),
            ("the look is refused", vec![Say::HangUp], vec![status(403, "Forbidden")], ("unseen", 1, 1)),
        ] {
            let server = Scripted::serve(move |asked, before| {
                let script = if asked.what.starts_with("POST") { &posts } else { &looks };
                script.get(before).cloned().unwrap_or(Say::HangUp)
            })
            .await;
            let work = async {
                let config = kube::Config::new(server.url.parse().unwrap());
                let cluster = Cluster::over(kube::Client::try_from(config).unwrap());
                let ours = |object: &DynamicObject| object.metadata.labels.as_ref().is_some_and(|labels| labels["run"] == "me");
                cluster.create_once(&kinds::SECRET, &secret("me"), ours).await
            };
            let got = match Policy::STANDARD.faster(20).scope(Box::pin(work)).await {
                Ok(object) => object.metadata.uid.unwrap(),
                Err(NotCreated::Foreign) => "foreign".to_owned(),
                Err(NotCreated::Failed { unclear: false, .. }) => "refused, surely not there".to_owned(),
                Err(NotCreated::Failed { unclear: true, .. }) => "refused, perhaps there".to_owned(),
                Err(NotCreated::Unseen(_)) => "unseen".to_owned(),
            };
            let posts = server.asked().iter().filter(|asked| asked.what.starts_with("POST")).count();
            assert_eq!((got.as_str(), posts, server.asked().len() - posts), expected, "{case}");
        }
    }
}
