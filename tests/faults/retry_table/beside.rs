//! What is asked beside cluster and source: the OAuth server, monitoring, Jira. Their requests name no cell, so each cell of a row
//! waits for the one before.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    faults::{Effect, Faults, Rule, Server},
    jira,
    tls::Authority,
    world::World,
};
use mtv_test::{
    cluster::{Cluster, ConnectOptions, PasswordLogin},
    jira::{Jira, Options},
    secrets::Secret,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Row, Seen, kubernetes::Bed};

/// Counts what comes after the fault by a second rule that changes nothing.
async fn counted<T, E: std::fmt::Debug>(faults: &Faults, rule: Rule, work: impl Future<Output = Result<T, E>>) -> Seen {
    let counter = Rule { seconds: Some(0.0), ..Rule::new(rule.server.unwrap(), Effect::Stall) };
    let counter = Rule { path: rule.path.clone(), verb: rule.verb.clone(), ..counter };
    let rule = faults.add(rule).unwrap();
    let counter = faults.add(counter).unwrap();
    let result = work.await.map(drop);
    let more = faults.list().into_iter().find(|rule| rule.id == counter).map_or(0, |rule| rule.done);
    faults.remove(rule);
    faults.remove(counter);
    Seen { result: result.map_err(|error| format!("{error:?}")), sends: 1 + more, looked: false, made: None }
}

async fn oauth(bed: Arc<Bed>, rule: Rule, path: &'static str) -> Seen {
    let admin = DataCenter::parse(DEFAULT).unwrap().cluster.admin;
    let login = PasswordLogin {
        host: bed.lab.info().api.clone(),
        username: admin.user,
        password: Secret::new(admin.password),
        ca_file: None,
        ca_pem: Some(bed.lab.info().ca_pem.clone()),
    };
    let options = ConnectOptions { login: Some(login), ..ConnectOptions::default() };
    let work = async { Cluster::connect(&options).await.map_err(|error| format!("{error:#}")) };
    counted(bed.lab.faults(), Rule { path: Some(path.to_owned()), ..rule }, work).await
}

async fn monitoring(bed: Arc<Bed>, rule: Rule) -> Seen {
    let cluster = bed.cluster().await;
    let work = async { cluster.free_memory().await.map_err(|error| format!("{error:#}")) };
    let seen = counted(bed.lab.faults(), Rule { path: Some("/api/v1/query".to_owned()), ..rule }, work).await;
    // Two questions make an answer.
    let sends = if seen.result.is_ok() { seen.sends - 1 } else { seen.sends };
    Seen { sends, ..seen }
}

async fn issue(rule: Rule) -> Seen {
    let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1_000.0));
    let (authority, cancel) = (Authority::new().unwrap(), CancellationToken::new());
    let _stop = cancel.clone().drop_guard();
    let url = jira::serve(&world, &authority, cancel).await.unwrap();
    let token = Some(Secret::new(world.datacenter.jira.token.as_str()));
    let jira = Jira::new(Options { url, token, ca_file: None, ca_pem: Some(authority.pem().to_owned()) }).unwrap();
    counted(&world.faults, rule, jira.issue("MTV-2846")).await
}

/// The rows.
pub async fn rows() -> Vec<Row> {
    // Every login asks for both of OAuth's answers, so each of the two rows has a lab of its own.
    let (bed, other) = tokio::join!(Bed::start(), Bed::start());
    let row = |bed: &Arc<Bed>, name, server, expected, cell: fn(Arc<Bed>, Rule) -> BoxFuture<'static, Seen>| {
        let (bed, alone) = (bed.clone(), Arc::new(Mutex::new(())));
        let run = move |rule: Rule, _: usize| -> BoxFuture<'static, Seen> {
            let (bed, alone) = (bed.clone(), alone.clone());
            async move {
                let _alone = alone.lock().await;
                cell(bed, rule).await
            }
            .boxed()
        };
        Row { name, server, expected, run: Box::new(run) }
    };
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![
        // Its redirect is all in the header.
        row(&bed, "OAuth authorize", Server::Kubernetes, "XXXRRRRRRRPPPRR", |bed, rule| oauth(bed, rule, "/oauth/authorize").boxed()),
        row(&other, "OAuth token", Server::Kubernetes, "XXXRRRRRRRPRRRR", |bed, rule| oauth(bed, rule, "/oauth/token").boxed()),
        row(&bed, "monitoring query", Server::Monitoring, "XXXRRRRRRRPRRRR", |bed, rule| monitoring(bed, rule).boxed()),
        row(&bed, "Jira issue", Server::Jira, "XXXRRRRRRRPRRRR", |_, rule| issue(rule).boxed()),
    ]
}
