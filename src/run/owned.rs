//! Creating objects that are ours: in the journal before the request goes out, labelled with the run, never adopted.

use std::time::Duration;

use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};
use serde_json::{Value, json};

use super::{
    names::{RUN_LABEL, SCENARIO_LABEL},
    shared::{Shared, joinable},
};
use crate::{
    cluster::{Cluster, NotCreated, describe, name_of},
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx, emit_here},
    events::What,
    journal::{Entry, Journal},
};

/// How often a namespace is looked for that another run makes at the same moment.
const ATTEMPTS: u32 = 4;

/// Longest wait for a namespace of another run that is being deleted.
const NAMESPACE_GONE: Duration = Duration::from_mins(4);

/// Creates objects for a run.
#[derive(Clone)]
pub struct Owner {
    /// The cluster.
    pub cluster: Cluster,
    /// Where they are written down.
    pub journal: Journal,
    /// Run id.
    pub run: String,
}

impl Owner {
    /// Creates an object, once. One that is there is ours only if it carries the run's label, see [`Cluster::create_once`].
    pub async fn create(&self, kind: &'static Kind, mut body: Value, scenario: Option<&str>) -> Result<DynamicObject, Failure> {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let namespace = body["metadata"]["namespace"].as_str().map(str::to_owned);
        let object_name = name_of(kind, namespace.as_deref(), &name);
        body["metadata"]["labels"][RUN_LABEL] = json!(self.run);
        body["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("mtv-test");
        if let Some(scenario) = scenario {
            body["metadata"]["labels"][SCENARIO_LABEL] = json!(scenario);
        }
        let entry = self
            .journal
            .intend(Entry::Object {
                api_version: kind.api_version(),
                kind: kind.kind.to_owned(),
                namespace: namespace.clone().unwrap_or_default(),
                name: name.clone(),
                scenario: scenario.map(str::to_owned),
            })
            .await?;
        let object = match self.cluster.create_once(kind, &body, |object| self.is_ours(object)).await {
            Ok(object) => object,
            Err(NotCreated::Failed { error, story, unclear }) => {
                // Only a refusal proves that nothing was made; after an unclear answer before it the entry stays, for the teardown.
                if !unclear {
                    self.journal.gone(entry).await?;
                }
                return Err(describe(&error, story, "create", &object_name).into());
            }
            Err(NotCreated::Foreign) => {
                self.journal.gone(entry).await?;
                return Err(Failure::Errored(
                    Diagnosis::new(Id::ObjectExists, format!("{object_name} exists already and is not of this run"))
                        .hint("it was left alone; delete it or use another target_namespace_prefix"),
                ));
            }
            Err(NotCreated::Unseen(error)) => return Err(error.into()),
        };
        self.journal.created(entry, object.metadata.uid.clone().unwrap_or_default()).await?;
        emit_here(What::Created { object: object_name });
        Ok(object)
    }

    /// Creates a namespace that runs share by its name, or joins it. One that nobody of mtv-test made is used and left alone.
    pub async fn shared_namespace(&self, mut body: Value, cx: &StepCx) -> Result<(), Failure> {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let shared = Shared { cluster: &self.cluster, journal: &self.journal, run: &self.run };
        body["metadata"]["annotations"] = joinable(&self.cluster, &self.run)?;
        let mut attempt = 1;
        loop {
            let failure = match self.cluster.get(&kinds::NAMESPACE, None, &name).await? {
                Some(there) if shared.join(&there).await? || there.metadata.deletion_timestamp.is_none() => return Ok(()),
                Some(going) => {
                    let uid = going.metadata.uid.as_deref();
                    self.cluster.wait_gone(cx, &kinds::NAMESPACE, None, &name, uid, NAMESPACE_GONE).await?;
                    continue;
                }
                None => match self.create(&kinds::NAMESPACE, body.clone(), None).await {
                    Ok(_) => return Ok(()),
                    Err(failure) => failure,
                },
            };
            // Another run may have made it in between: then it is there to be joined.
            if attempt >= ATTEMPTS || self.cluster.get(&kinds::NAMESPACE, None, &name).await?.is_none() {
                return Err(failure);
            }
            attempt += 1;
        }
    }

    fn is_ours(&self, object: &DynamicObject) -> bool {
        object.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)) == Some(&self.run)
    }
}
