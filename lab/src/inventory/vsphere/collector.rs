//! Follows a vCenter: one property filter over a container view, and a re-read of what it reports as changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use mtv_api::xml::Node;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::model::{KINDS, Model, own_id};
use crate::{
    forklift::vcenter::{Access, MoRef, Result, Vcenter, property_spec},
    inventory::News,
};

/// How long the server may hold an answer back when nothing changes; the session's requests end after a minute.
const HOLD: u32 = 20;
/// Pause after a broken session.
const RETRY: Duration = Duration::from_secs(3);

/// A collector of one provider.
pub struct Collector {
    model: Arc<RwLock<Model>>,
    parity: watch::Sender<bool>,
    cancel: CancellationToken,
    /// With what it logs in: a changed secret means another collector.
    pub access: Access,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Collector {
    /// Starts to collect. `changed` is told whenever something in the vCenter changed.
    pub fn start(provider: String, access: Access, changed: broadcast::Sender<News>) -> Arc<Self> {
        let collector = Arc::new(Self {
            model: Arc::default(),
            parity: watch::Sender::new(false),
            cancel: CancellationToken::new(),
            access: access.clone(),
        });
        let (model, parity, cancel) = (Arc::clone(&collector.model), collector.parity.clone(), collector.cancel.clone());
        tokio::spawn(async move {
            while !cancel.is_cancelled() {
                let followed = tokio::select! {
                    () = cancel.cancelled() => break,
                    followed = follow(&provider, &access, &model, &parity, &changed) => followed,
                };
                if let Err(error) = followed {
                    tracing::debug!(%provider, %error, "inventory lost its vCenter");
                }
                tokio::select! { () = cancel.cancelled() => break, () = tokio::time::sleep(RETRY) => {} }
            }
        });
        collector
    }

    /// Whether everything was read once.
    pub fn has_parity(&self) -> bool {
        *self.parity.borrow()
    }

    /// Waits until everything was read once; false if that takes longer than `patience`.
    pub async fn reads_all_within(&self, patience: Duration) -> bool {
        let mut parity = self.parity.subscribe();
        tokio::time::timeout(patience, parity.wait_for(|there| *there)).await.is_ok_and(|waited| waited.is_ok())
    }

    /// What is known.
    pub fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(
    provider: &str,
    access: &Access,
    model: &RwLock<Model>,
    parity: &watch::Sender<bool>,
    changed: &broadcast::Sender<News>,
) -> Result<()> {
    let vcenter = Vcenter::connect(access).await?;
    let collector = vcenter.manager("propertyCollector", "PropertyCollector");
    let view = container_view(&vcenter).await?;
    vcenter
        .call(Node::new("CreateFilter").with(collector.node("_this")).with(filter(&view, &vcenter.root())).field("partialUpdates", false))
        .await?;
    model.write().unwrap_or_else(PoisonError::into_inner).about = vcenter.about.clone();
    let mut version = String::new();
    // What the first round showed: the rest of what an earlier session knew is gone.
    let mut first_round = Some(BTreeSet::new());
    loop {
        let hold = if first_round.is_some() { 1 } else { HOLD };
        let request = Node::new("WaitForUpdatesEx")
            .with(collector.node("_this"))
            .field("version", &version)
            .with(Node::new("options").field("maxWaitSeconds", hold));
        let answer = vcenter.call(request).await?;
        let update = answer.child("returnval");
        let mut taken = match update {
            Some(update) => {
                update.get("version").unwrap_or_default().clone_into(&mut version);
                take_in(&vcenter, update, model, first_round.as_mut()).await?
            }
            None => Taken::default(),
        };
        if update.and_then(|u| u.get("truncated")) != Some("true") {
            if let Some(seen) = first_round.take() {
                let mut model = model.write().unwrap_or_else(PoisonError::into_inner);
                let known = model.objects.len();
                model.objects.retain(|_, object| seen.contains(&object.properties.object.id));
                taken.others |= known != model.objects.len();
            }
            parity.send_replace(true);
        }
        if taken.others || !taken.vms.is_empty() {
            let vms = (!taken.others).then(|| std::mem::take(&mut taken.vms));
            // Nobody may be listening.
            let _ = changed.send(News { provider: provider.to_owned(), vms });
        }
    }
}

/// What differs from what was known.
#[derive(Default)]
struct Taken {
    /// Ids of VMs.
    vms: Vec<String>,
    /// Whether something else does.
    others: bool,
}

/// Reads again what an update names.
async fn take_in(vcenter: &Vcenter, update: &Node, model: &RwLock<Model>, mut seen: Option<&mut BTreeSet<String>>) -> Result<Taken> {
    let mut touched: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut taken = Taken::default();
    for object in update.children_named("filterSet").flat_map(|set| set.children_named("objectSet")) {
        let Some(reference) = object.child("obj").map(MoRef::read) else { continue };
        if object.get("kind") == Some("leave") {
            taken.others |= model.write().unwrap_or_else(PoisonError::into_inner).remove(&own_id(&reference));
            continue;
        }
        if let Some(seen) = seen.as_mut() {
            seen.insert(own_id(&reference));
        }
        touched.entry(reference.kind).or_default().push(reference.id);
    }
    for (kind, ids) in touched {
        let Some((_, paths)) = KINDS.iter().find(|(k, _)| *k == kind) else { continue };
        let found = vcenter.properties(&kind, &ids, paths).await?;
        let mut model = model.write().unwrap_or_else(PoisonError::into_inner);
        for properties in found {
            let id = properties.object.id.clone();
            if model.put(properties) {
                if kind == "VirtualMachine" { taken.vms.push(id) } else { taken.others = true }
            }
        }
    }
    Ok(taken)
}

async fn container_view(vcenter: &Vcenter) -> Result<MoRef> {
    let manager = vcenter.manager("viewManager", "ViewManager");
    let request = Node::new("CreateContainerView")
        .with(manager.node("_this"))
        .with(vcenter.root().node("container"))
        .all(KINDS.iter().map(|(kind, _)| Node::text("type", kind)))
        .field("recursive", true);
    let answer = vcenter.call(request).await?;
    Ok(answer.child("returnval").map(MoRef::read).unwrap_or_default())
}

/// A filter over everything in the view, and the root folder, which no view of itself holds.
fn filter(view: &MoRef, root: &MoRef) -> Node {
    let traverse = Node::new("selectSet")
        .typed("TraversalSpec")
        .field("name", "view")
        .field("type", &view.kind)
        .field("path", "view")
        .field("skip", false);
    Node::new("spec")
        .all(KINDS.iter().map(|(kind, paths)| property_spec(kind, paths)))
        .with(Node::new("objectSet").with(view.node("obj")).field("skip", true).with(traverse))
        .with(Node::new("objectSet").with(root.node("obj")).field("skip", false))
}
