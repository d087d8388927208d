//! Verbs of oVirt and OpenStack. Each cell has a server of its own.

use futures::{FutureExt as _, future::BoxFuture};
use mtv_lab::faults::{Rule, Server};
use mtv_test::{
    config::{profile::ProviderKind, scenario::PowerWish},
    providers::{CloneRequest, Power, ProviderErrorKind, ProviderResult, Source, connect},
};

use super::{Row, Seen};
use crate::rest_bed::lab;

/// A verb: what the tool does, which of its requests goes wrong, and what it looks at afterwards where it is not sure.
#[derive(Clone, Copy)]
struct Verb {
    kind: ProviderKind,
    /// VM or template that is cloned.
    source: &'static str,
    act: Act,
    /// HTTP method and path of the request.
    request: (&'static str, &'static str),
    /// What the client counts it as.
    call: &'static str,
    /// What the client counts its look as, and how often that is usual.
    look: Option<(&'static str, u64)>,
    /// Beginning and end of the name of what is made; one of it is right.
    makes: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Act {
    LogIn,
    Find,
    Clone,
    Snapshot,
    PowerOn,
    Delete,
}

fn clone_of(source: &str, name: &str) -> CloneRequest {
    CloneRequest { source: source.into(), name: name.into(), run: "r1".into(), ..CloneRequest::default() }
}

async fn act(source: &dyn Source, verb: &Verb, id: &str) -> ProviderResult<()> {
    match verb.act {
        Act::LogIn => Ok(()),
        Act::Find => source.cloner().unwrap().of_run("r1").await.map(|found| assert_eq!(found.len(), 1)),
        Act::Clone => source.cloner().unwrap().clone_vm(&clone_of(verb.source, "second")).await.map(drop),
        Act::Snapshot => source.snapshots().unwrap().snapshot(id, "first-snapshot-1").await,
        Act::PowerOn => source.cloner().unwrap().set_power(id, PowerWish::On).await,
        Act::Delete => source.cloner().unwrap().delete(id).await,
    }
}

async fn cell(verb: Verb, rule: Rule) -> Seen {
    let lab = lab(verb.kind).await;
    let before = lab.names();
    let faults = lab.world.faults.clone();
    let rule = Rule { verb: Some(verb.request.0.to_owned()), path: Some(verb.request.1.to_owned()), ..rule };
    if verb.act == Act::LogIn {
        faults.add(rule).unwrap();
        return match connect(&lab.profile).await {
            Ok(source) => Seen { result: Ok(()), sends: source.requests()[verb.call], looked: false, made: None },
            Err(error) => Seen { result: Err(error.to_string()), sends: 1, looked: false, made: None },
        };
    }
    let source = connect(&lab.profile).await.unwrap();
    let id = source.cloner().unwrap().clone_vm(&clone_of(verb.source, "first")).await.unwrap();
    let count = |call: &str| source.requests().get(call).copied().unwrap_or_default();
    let looks = || verb.look.map_or(0, |(look, _)| count(look));
    let (sent, looked) = (count(verb.call), looks());
    faults.add(rule).unwrap();
    let result = act(source.as_ref(), &verb, &id).await;
    let sends = count(verb.call) - sent;
    let looked = looks() - looked > verb.look.map_or(0, |(_, usual)| usual);
    let made = verb.makes.map(|(begin, end)| lab.names().iter().filter(|name| name.starts_with(begin) && name.ends_with(end)).count());
    match (verb.act, &result) {
        (Act::PowerOn, Ok(())) => assert_eq!(source.cloner().unwrap().describe_vm(&id).await.unwrap().power, Power::On),
        // Whatever happened to the request, nothing of the clone is left.
        (Act::Delete, Ok(())) => assert_eq!(lab.names(), before),
        (Act::Clone, Err(_)) => {
            assert!(
                lab.names().iter().all(|name| !name.starts_with("second")),
                "a clone that failed has left something: {:?}",
                lab.names()
            );
        }
        _ => {}
    }
    // A login that has run out is renewed and no reason to send anything twice.
    assert!(!result.as_ref().is_err_and(|error| error.is(ProviderErrorKind::Deadline)), "{result:?}");
    Seen { result: result.map_err(|error| error.to_string()), sends, looked, made }
}

fn ovirt(act: Act, request: (&'static str, &'static str), call: &'static str) -> Verb {
    Verb { kind: ProviderKind::Ovirt, source: "mtv-tests-rhel8", act, request, call, look: None, makes: None }
}

fn openstack(act: Act, request: (&'static str, &'static str), call: &'static str) -> Verb {
    Verb { kind: ProviderKind::Openstack, ..ovirt(act, request, call) }
}

/// The rows.
pub fn rows() -> Vec<Row> {
    let row = |name, verb: Verb, expected| {
        let server = if verb.kind == ProviderKind::Ovirt { Server::Ovirt } else { Server::Openstack };
        let run = move |rule: Rule, _: usize| -> BoxFuture<'static, Seen> { cell(verb, rule).boxed() };
        Row { name, server, expected, run: Box::new(run) }
    };
    let (get, post, delete) = ("get", "post", "delete");
    let engine = "/ovirt-engine/api/vms";
    let made = |verb, look, usual, begin, end| Verb { look: Some((look, usual)), makes: Some((begin, end)), ..verb };
    let cirros = |verb| Verb { source: "mtv-tests-cirros", ..verb };
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![
        row("oVirt log in", ovirt(Act::LogIn, (post, "/ovirt-engine/sso/oauth/token"), "POST sso/oauth/token"), "XXXRRRRRRRPRRRR"),
        row("oVirt list", ovirt(Act::Find, (get, engine), "GET vms"), "XXXRRRRRRRPRRRR"),
        row("oVirt clone", made(ovirt(Act::Clone, (post, engine), "POST vms"), "GET vms", 0, "second", "second"), "XXXRRCCLLCPLLLC"),
        row(
            "oVirt snapshot",
            made(
                ovirt(Act::Snapshot, (post, "/ovirt-engine/api/vms/*/snapshots"), "POST vms/ID/snapshots"),
                "GET vms/ID/snapshots",
                0,
                "first-snapshot-1",
                "",
            ),
            "XXXRRCCLLCPLLLC",
        ),
        // What an action answers is short enough to come in time, one byte a second.
        row("oVirt power on", ovirt(Act::PowerOn, (post, "/ovirt-engine/api/vms/*/start"), "POST vms/ID/start"), "RXXRRRRRRRPPRRR"),
        // A wait asks again in any case.
        row("oVirt wait", ovirt(Act::PowerOn, (get, "/ovirt-engine/api/vms/*"), "GET vms/ID"), "XXXRRRRRRRRRRRR"),
        row("oVirt delete", ovirt(Act::Delete, (delete, "/ovirt-engine/api/vms/*"), "DELETE vms/ID"), "XXXRRRRRRRPPRRR"),
        row("OpenStack log in", openstack(Act::LogIn, (post, "/identity/v3/auth/tokens"), "POST auth/tokens"), "XXXRRRRRRRPRRRR"),
        row("OpenStack list", openstack(Act::Find, (get, "/compute/v2.1/servers/detail"), "GET compute/servers"), "XXXRRRRRRRPRRRR"),
        row(
            "OpenStack clone, server",
            made(
                openstack(Act::Clone, (post, "/compute/v2.1/servers"), "POST compute/servers"),
                "GET compute/servers",
                1,
                "second",
                "second",
            ),
            "XXXRRCCLLCPLLLC",
        ),
        row(
            "OpenStack clone, volume snapshot",
            made(
                openstack(Act::Clone, (post, "/volume/v3/*/snapshots"), "POST volume/snapshots"),
                "GET volume/snapshots",
                0,
                "second-vol-0-snapshot",
                "",
            ),
            "XXXRRCCLLCPLLLC",
        ),
        row(
            "OpenStack clone, volume",
            made(
                openstack(Act::Clone, (post, "/volume/v3/*/volumes"), "POST volume/volumes"),
                "GET volume/volumes",
                0,
                "second-vol-0",
                "vol-0",
            ),
            "XXXRRCCLLCPLLLC",
        ),
        row(
            "OpenStack clone, image",
            made(
                cirros(openstack(Act::Clone, (post, "/compute/v2.1/servers/*/action"), "POST compute/servers/ID/createImage")),
                "GET image/images",
                0,
                "second-image",
                "",
            ),
            "XXXRRCCLLCPLLLC",
        ),
        row(
            "OpenStack snapshot",
            made(
                openstack(Act::Snapshot, (post, "/compute/v2.1/servers/*/action"), "POST compute/servers/ID/createImage"),
                "GET image/images",
                0,
                "first-snapshot-1",
                "",
            ),
            "XXXRRCCLLCPLLLC",
        ),
        row(
            "OpenStack power on",
            openstack(Act::PowerOn, (post, "/compute/v2.1/servers/*/action"), "POST compute/servers/ID/os-start"),
            "RXXRRRRRRRPPRRR",
        ),
        row("OpenStack wait", openstack(Act::PowerOn, (get, "/compute/v2.1/servers/*"), "GET compute/servers/ID"), "XXXRRRRRRRRRRRR"),
        // 204 has no body that could be cut or changed.
        row(
            "OpenStack delete, server",
            openstack(Act::Delete, (delete, "/compute/v2.1/servers/*"), "DELETE compute/servers/ID"),
            "XXXRRRRRPRPPPRR",
        ),
        row(
            "OpenStack delete, volume snapshot",
            openstack(Act::Delete, (delete, "/volume/v3/*/snapshots/*"), "DELETE volume/snapshots/ID"),
            // A conflict is about what is done with it just now, as Cinder's 400 and Glance's 409 for an image in use.
            "RXXRRRRRRRPPRRR",
        ),
    ]
}
