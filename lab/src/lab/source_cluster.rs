//! A second OpenShift, which virtual machines can come from: an API server with a certificate authority and a login of its own,
//! storage, KubeVirt and boot sources, and no MTV. Forklift on the first cluster reads it by URL and token.

use kube::Client;

use super::{serve_api, sources::Served, start_roles};
use crate::{
    faults,
    kubernetes::Audit,
    roles::{self, Context, Role, Roles},
    tls::Authority,
};

/// What runs there: what turns VirtualMachines into running guests with disks.
const ROLES: [Role; 7] = [Role::Namespace, Role::Gc, Role::Pv, Role::Provisioner, Role::Kubelet, Role::Cdi, Role::Kubevirt];

/// A second cluster that runs.
pub(super) struct SourceCluster {
    /// Kubeconfig of its administrator.
    pub(super) kubeconfig: String,
    /// Client with every right, for tests that look behind.
    pub(super) client: Client,
    /// What its controllers work with.
    pub(super) context: Context,
}

/// Starts the cluster that the data-centre file describes, if it describes one.
pub(super) async fn start(cx: &Context, served: &mut Vec<Served>) -> anyhow::Result<Option<SourceCluster>> {
    let Some(world) = cx.world.of_source_cluster() else { return Ok(None) };
    let authority = Authority::new()?;
    let token = super::token()?;
    let (client, url, kubeconfig) =
        serve_api(&world, &authority, None, &token, faults::Server::Openshift, Audit::default(), &cx.cancel).await?;
    let context = Context::new(client.clone(), world, cx.cancel.clone());
    roles::openshift::furnish(&context, &url, authority.pem()).await?;
    start_roles(&context, &Roles::only(ROLES), &authority).await?;
    let model = &context.world.datacenter.cluster;
    served.push(Served {
        profile: "openshift-remote",
        url,
        keys: vec![
            ("type", "openshift".to_owned()),
            ("version", model.openshift_version.clone()),
            ("username", model.admin.user.clone()),
            ("password", model.admin.password.clone()),
        ],
        tables: Vec::new(),
        ca: Some(authority.pem().to_owned()),
    });
    Ok(Some(SourceCluster { kubeconfig, client, context }))
}
