//! KubeVirt: virtual machines, their instances, guests, and the sub-resources of an aggregated API.

mod actions;
mod export;
mod guest;
mod launcher;
mod network;
mod portforward;
mod status;
mod subresources;
mod templates;
mod vm;
mod vmi;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::DynamicObject,
    runtime::{reflector::Store, watcher},
};
use mtv_api::kinds;

use super::{
    Context,
    life::{self, Lives},
    write,
};
use crate::{guests::Guest, tls::Authority};

pub(crate) use subresources::withdraw;

const MANAGER: &str = "lab-kubevirt";
/// Namespace of OpenShift Virtualization.
pub const NAMESPACE: &str = "openshift-cnv";
/// Label of launcher pods: UID of the instance.
const CREATED_BY: &str = "kubevirt.io/created-by";

/// What the parts of the role share.
#[derive(Clone)]
pub(crate) struct Shared {
    cx: Context,
    instances: Store<DynamicObject>,
    pods: Store<Pod>,
    guests: Guests,
    /// Certificate authority of the cluster, PEM.
    ca: Arc<str>,
}

impl Shared {
    fn instance(&self, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        self.instances.find(|i| i.name_any() == name && i.namespace().as_deref() == Some(namespace))
    }
}

type Running = HashMap<(String, String), Arc<Guest>>;

/// Operating systems that run now, by namespace and name of their instances.
#[derive(Clone, Default)]
pub(crate) struct Guests {
    running: Arc<Mutex<Running>>,
    /// Host keys are made from this and the boot disk.
    secret: Arc<[u8]>,
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Guest>> {
        self.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn put(&self, namespace: &str, name: &str, guest: Guest) {
        self.lock().insert((namespace.to_owned(), name.to_owned()), Arc::new(guest));
    }

    fn remove(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Starts the role.
///
/// # Errors
/// The port cannot be opened, the API server refuses the registration, or the lab ended meanwhile.
pub async fn start(cx: &Context, authority: &Authority) -> anyhow::Result<()> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let guests = Guests { secret: secret.into(), ..Guests::default() };

    let (wake_vms, vms) = tokio::sync::watch::channel(None::<Lives<DynamicObject>>);
    let (wake_instances, woken) = tokio::sync::watch::channel(None::<Lives<DynamicObject>>);
    let instances = life::observe(cx, write::all(&cx.client, &kinds::VMI), kinds::VMI.resource(), move |instance| {
        if let Some(vms) = &*vms.borrow() {
            // An instance has the name of its virtual machine.
            vms.poke(&instance.namespace().unwrap_or_default(), &instance.name_any());
        }
    })
    .await?;
    let launchers = Api::<Pod>::all(cx.client.clone());
    let pods = life::observe(cx, launchers, (), move |pod| {
        if let (Some(instances), Some(owner)) = (&*woken.borrow(), pod.owner_references().iter().find(|o| o.kind == kinds::VMI.kind)) {
            instances.poke(&pod.namespace().unwrap_or_default(), &owner.name);
        }
    })
    .await?;
    let shared = Shared { cx: cx.clone(), instances, pods, guests, ca: authority.pem().into() };
    let mine = shared.clone();
    let lives =
        life::each(cx, write::all(&cx.client, &kinds::VMI), watcher::Config::default(), move |instance| vmi::tend(mine.clone(), instance))
            .await?;
    lives.poke_all();
    wake_instances.send_replace(Some(lives));
    let mine = shared.clone();
    let lives =
        life::each(cx, write::all(&cx.client, &kinds::VM), watcher::Config::default(), move |vm| vm::tend(mine.clone(), vm)).await?;
    lives.poke_all();
    wake_vms.send_replace(Some(lives));
    let mine = shared.clone();
    life::each(cx, write::all(&cx.client, &kinds::VM_EXPORT), watcher::Config::default(), move |export| export::tend(mine.clone(), export))
        .await?
        .poke_all();
    subresources::start(shared, authority).await
}
