//! Verbs of vSphere: of a vCenter, and of an ESXi host whose vCenter clones for it. Each cell has servers of its own.

use std::{net::SocketAddr, path::Path};

use futures::{FutureExt as _, future::BoxFuture};
use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter, Login},
    faults::{Rule, Server},
    tls::Authority,
    vsphere::Vcenter,
    world::World,
};
use mtv_test::{
    config::scenario::PowerWish,
    config::{profile::Profile, profile_file::ProfileFile},
    providers::{CloneRequest, Power, ProviderError, Source, connect},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Row, Seen};

/// Which profile is the source.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Endpoint {
    Vcenter,
    Host,
}

struct Lab {
    vcenter: Vcenter,
    profile: Profile,
    _stop: DropGuard,
}

async fn lab(endpoint: Endpoint) -> Lab {
    let datacenter = DataCenter::parse(DEFAULT).unwrap();
    let model = datacenter.vsphere.clone();
    let vcenter = Vcenter::new(&World::new(datacenter, Clock::new(1_000.0)));
    let authority = Authority::new().unwrap();
    let cancel = CancellationToken::new();
    let serve = async |server: Vcenter| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tls, token) = (authority.server(&[]).unwrap(), cancel.clone());
        tokio::spawn(async move { server.serve(listener, tls, token).await });
        address
    };
    let profile = |name: &str, address: SocketAddr, login: &Login, more: &str| {
        format!(
            "[provider.{name}]\ntype = \"vsphere\"\nversion = \"8.0\"\napi_url = \"https://{address}/sdk\"\nusername = \"{}\"\n\
             password = \"{}\"\n{more}\nca_pem = \"\"\"\n{}\"\"\"\n",
            login.user,
            login.password,
            authority.pem()
        )
    };
    let mut text = profile("vcenter", serve(vcenter.clone()).await, &model.login, "");
    if endpoint == Endpoint::Host {
        let address = serve(vcenter.agent(&model.hosts[0]).unwrap()).await;
        text += &profile("host", address, &model.esxi_login, "endpoint_type = \"esxi\"\nclone_provider = \"vcenter\"");
    }
    let file = ProfileFile::parse(Path::new("providers.toml"), &text, false).unwrap();
    let name = if endpoint == Endpoint::Host { "host" } else { "vcenter" };
    let (profile, _) = file.select(name, &|_| None).unwrap();
    Lab { vcenter, profile, _stop: cancel.drop_guard() }
}

fn clone_of(name: &str) -> CloneRequest {
    CloneRequest { source: "mtv-tests-rhel8".into(), name: name.into(), run: "r1".into(), ..CloneRequest::default() }
}

/// What a row does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    LogIn,
    Find,
    Clone,
    Snapshot,
    PowerOn,
    Delete,
}

/// A cell's call.
#[derive(Debug, Clone, Copy)]
struct Call {
    endpoint: Endpoint,
    act: Act,
    /// The method that goes wrong, and whose it is.
    method: &'static str,
    server: Server,
}

/// Does it with a machine that is there already.
async fn act(source: &dyn Source, act: Act, id: &str) -> Result<(), ProviderError> {
    match act {
        Act::LogIn => Ok(()),
        Act::Find => source.cloner().unwrap().find(&["mtv-tests-rhel8".to_owned()]).await.map(|found| assert_eq!(found.len(), 1)),
        Act::Clone => source.cloner().unwrap().clone_vm(&clone_of("second")).await.map(drop),
        Act::Snapshot => source.snapshots().unwrap().snapshot(id, "s").await,
        Act::PowerOn => source.cloner().unwrap().set_power(id, PowerWish::On).await,
        Act::Delete => source.cloner().unwrap().delete(id).await,
    }
}

/// Looks that a call makes: collections of properties.
const LOOK: &str = "RetrievePropertiesEx";

async fn cell(call: Call, rule: Rule) -> Seen {
    let Call { endpoint, act: what, method, .. } = call;
    let lab = lab(endpoint).await;
    let rule = Rule { verb: Some(method.to_owned()), ..rule };
    if what == Act::LogIn {
        lab.vcenter.faults().add(rule).unwrap();
        // A host comes with the login to its vCenter.
        let others = u64::from(endpoint == Endpoint::Host);
        return match connect(&lab.profile).await {
            Ok(source) => Seen { result: Ok(()), sends: source.requests()[method] - others, looked: false, made: None },
            Err(error) => Seen { result: Err(error.to_string()), sends: 1, looked: false, made: None },
        };
    }
    let source = connect(&lab.profile).await.unwrap();
    let count = |method: &str| source.requests().get(method).copied().unwrap_or_default();
    let before = count(LOOK);
    let id = source.cloner().unwrap().clone_vm(&clone_of("first")).await.unwrap();
    // What the call looks at without faults: a delete reads the power state, and that of a host's machine looks for it in the vCenter.
    let usual = match (what, endpoint) {
        (Act::Clone, _) => count(LOOK) - before,
        (Act::Find, _) => 1,
        (Act::Delete, Endpoint::Vcenter) => 1,
        (Act::Delete, Endpoint::Host) => 3,
        _ => 0,
    };
    // A wait asks as often as something changes; one that is begun anew shows in its filters.
    let counted = if method == "WaitForUpdatesEx" { "CreateFilter" } else { method };
    let before = (count(counted), count(LOOK));
    lab.vcenter.faults().add(rule).unwrap();
    let result = act(source.as_ref(), what, &id).await;
    let sends = count(counted) - before.0;
    let (sends, looked) = if method == LOOK { (sends.saturating_sub(usual) + 1, false) } else { (sends, count(LOOK) - before.1 > usual) };
    let made = match what {
        Act::Clone => Some(source.cloner().unwrap().of_run("r1").await.unwrap().len() - 1),
        Act::Snapshot => Some(source.cloner().unwrap().describe_vm(&id).await.unwrap().snapshots.len()),
        _ => None,
    };
    match (what, &result) {
        (Act::PowerOn, Ok(())) => assert_eq!(source.cloner().unwrap().describe_vm(&id).await.unwrap().power, Power::On),
        (Act::Delete, Ok(())) => assert!(source.cloner().unwrap().of_run("r1").await.unwrap().is_empty()),
        _ => {}
    }
    Seen { result: result.map_err(|error| error.to_string()), sends, looked, made }
}

/// The rows.
pub fn rows() -> Vec<Row> {
    use Endpoint::{Host, Vcenter};
    let row = |name, endpoint, act, (server, method): (Server, &'static str), expected| {
        let call = Call { endpoint, act, method, server };
        let run = move |rule: Rule, _: usize| -> BoxFuture<'static, Seen> { cell(call, rule).boxed() };
        Row { name, server: call.server, expected, run: Box::new(run) }
    };
    let (vcenter, host) = (|method| (Server::Vsphere, method), |method| (Server::Esxi, method));
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![
        row("vSphere log in", Vcenter, Act::LogIn, vcenter("Login"), "XXXRRRRRRRPRRRR"),
        row("vSphere read", Vcenter, Act::Find, vcenter(LOOK), "XXXRRRRRRRPRRRR"),
        // Begun anew means another filter here; after a 429 the same one is asked again.
        row("vSphere wait", Vcenter, Act::PowerOn, vcenter("WaitForUpdatesEx"), "RRRPPRRRRRPRRRR"),
        row("vSphere clone", Vcenter, Act::Clone, vcenter("CloneVM_Task"), "XXXRRCCLLCPLLLC"),
        row("vSphere snapshot", Vcenter, Act::Snapshot, vcenter("CreateSnapshot_Task"), "XXXRRCCLLCPLLLC"),
        row("vSphere power on", Vcenter, Act::PowerOn, vcenter("PowerOnVM_Task"), "XXXRRRRRRRPRRRR"),
        row("vSphere delete", Vcenter, Act::Delete, vcenter("Destroy_Task"), "XXXRRRRRRRPRRRR"),
        row("ESXi log in", Host, Act::LogIn, host("Login"), "XXXRRRRRRRPRRRR"),
        row("ESXi clone", Host, Act::Clone, vcenter("CloneVM_Task"), "XXXRRCCLLCPLLLC"),
        // A clone that the host cannot show is taken away by the vCenter.
        row("ESXi arrival", Host, Act::Clone, host(LOOK), "XXXRRRRRRRPRRRR"),
        row("ESXi wait", Host, Act::PowerOn, host("WaitForUpdatesEx"), "RRRPPRRRRRPRRRR"),
        row("ESXi snapshot", Host, Act::Snapshot, host("CreateSnapshot_Task"), "XXXRRCCLLCPLLLC"),
        row("ESXi power on", Host, Act::PowerOn, host("PowerOnVM_Task"), "XXXRRRRRRRPRRRR"),
        row("ESXi delete", Host, Act::Delete, vcenter("Destroy_Task"), "XXXRRRRRRRPRRRR"),
    ]
}
