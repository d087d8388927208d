//! The API server, its OAuth server, the inventory, and Jira.

use std::fs;

use serde_json::json;

use crate::{
    bed::{Bed, Case, PASSWORD, judge, mtv_test, side_by_side, told},
    lab::Lab,
    server::{Answer, Asked, Bad, Server},
};

#[test]
fn an_api_server_that_misbehaves_is_an_error_and_learns_nothing() {
    let bed = &Bed::new();
    let mut cases: Vec<Case<'_>> = Vec::new();
    let few = |bad: &Bad| !matches!(bad, Bad::Braces | Bad::ProxyNotFound);
    for (number, bad) in bed.all().into_iter().filter(few).enumerate() {
        cases.push((
            format!("API server, {bad:?}"),
            Box::new(move || {
                let answer = bad.clone();
                let server = Server::start(Some(bed.tls()), move |_| Answer::Bad(answer.clone()));
                let place = bed.place(&format!("api-{number}"));
                let kubeconfig = Bed::kubeconfig(&place, server.address);
                let mut command = mtv_test(&place);
                command.args(["clean", "--orphans", "--timeout", "8s", "--kubeconfig"]).arg(kubeconfig);
                let output = command.output().unwrap();
                judge(&output, &[&server.address.to_string()])
            }),
        ));
    }
    side_by_side(cases);
    assert!(bed.trapped().is_empty(), "a redirect was followed: {:?}", bed.trapped());
}

/// The OAuth server is asked in three steps; each can go wrong.
fn login(asked: &Asked, address: &str) -> Option<Answer> {
    match asked.path.split('?').next().unwrap_or_default() {
        "/.well-known/oauth-authorization-server" => Some(Answer::json(json!({
            "authorization_endpoint": format!("https://{address}/oauth/authorize"), "token_endpoint": format!("https://{address}/oauth/token"),
        }))),
        "/oauth/authorize" => {
            let to = format!("https://{address}/oauth/token/implicit?code=a-code-of-oauth");
            Some(Answer::Good(302, vec![("location", to)], String::new()))
        }
        _ => None,
    }
}

#[test]
fn an_oauth_server_that_misbehaves_is_an_error_and_learns_nothing() {
    let bed = &Bed::new();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for step in 0..3 {
        for (number, bad) in bed.all().into_iter().enumerate() {
            cases.push((
                format!("OAuth server, step {step}, {bad:?}"),
                Box::new(move || {
                    let answer = bad.clone();
                    let server = Server::start(Some(bed.tls()), move |asked| {
                        let at = ["/.well-known/", "/oauth/authorize", "/oauth/token"].iter().position(|path| asked.path.starts_with(path));
                        let host = asked.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
                        let good = if at.is_some_and(|at| at < step) { login(asked, host) } else { None };
                        good.unwrap_or_else(|| Answer::Bad(answer.clone()))
                    });
                    let mut command = mtv_test(&bed.place(&format!("oauth-{step}-{number}")));
                    command.args(["clean", "--orphans", "--timeout", "30s"]);
                    command.env("CLUSTER_HOST", format!("https://{}", server.address)).env("CLUSTER_USERNAME", "u");
                    command.env("MTV_TEST_CLUSTER_PASSWORD", PASSWORD).env("MTV_TEST_CLUSTER_CA_FILE", "ca.pem");
                    let output = command.output().unwrap();
                    judge(&output, &[&server.address.to_string()])
                }),
            ));
        }
    }
    side_by_side(cases);
    assert!(bed.trapped().is_empty(), "a redirect was followed: {:?}", bed.trapped());
}

#[test]
fn a_jira_that_misbehaves_is_told_and_learns_nothing() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (number, bad) in bed.all().into_iter().enumerate() {
        cases.push((
            format!("Jira, {bad:?}"),
            Box::new(move || {
                let answer = bad.clone();
                let server = Server::start(Some(bed.tls()), move |_| Answer::Bad(answer.clone()));
                let mut command = mtv_test(&bed.place(&format!("jira-{number}")));
                command.args(["run", "warm-2disks2nics", "--provider", "ovirt", "--kubeconfig", &lab.kubeconfig(), "--providers"]);
                command.arg(lab.path("providers.toml")).args(["--skip-data-collector", "--results-dir", "results"]);
                command.args(["--set", &format!("jira_url=https://{}", server.address), "--set", "jira_ca_file=ca.pem"]);
                let output = command.env("MTV_TEST_JIRA_TOKEN", PASSWORD).output().unwrap();
                let told = told(&output);
                // What an issue that cannot be asked about means for its scenario is another matter.
                let ended = output.status.code().is_some_and(|code| [0, 5, 7, 9].contains(&code));
                if ended && told.contains(&server.address.to_string()) && !told.contains(PASSWORD) { Ok(()) } else { Err(told) }
            }),
        ));
    }
    side_by_side(cases);
    assert!(bed.trapped().is_empty(), "a redirect was followed: {:?}", bed.trapped());
}

/// The Route of the inventory leads to a server that misbehaves.
#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_misbehaves_ends_the_scenario() {
    let (bed, lab) = (Bed::new(), Lab::start());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = kube::config::Kubeconfig::read_from(lab.path("kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let maps = kube::Api::<kube::api::DynamicObject>::namespaced_with(
        client.clone(),
        "openshift-config-managed",
        &mtv_api::kinds::CONFIG_MAP.resource(),
    );
    let trust = kube::api::Patch::Merge(
        json!({"data": {"ca-bundle.crt": format!("{}{}", bed.authority.pem(), lab.info()["ca_pem"].as_str().unwrap())}}),
    );
    maps.patch("default-ingress-cert", &kube::api::PatchParams::default(), &trust).await.unwrap();
    let routes = kube::Api::<kube::api::DynamicObject>::namespaced_with(client, "openshift-mtv", &mtv_api::kinds::ROUTE.resource());
    for (number, bad) in [Bad::Endless, Bad::Huge, Bad::Html, Bad::Braces].into_iter().chain(bed.elsewhere()).enumerate() {
        let answer = bad.clone();
        let server = Server::start(Some(bed.tls()), move |_| Answer::Bad(answer.clone()));
        let host = server.address.to_string();
        let entry = json!({"host": host, "conditions": [{"type": "Admitted", "status": "True"}]});
        let to = kube::api::Patch::Merge(json!({"status": {"ingress": [entry]}}));
        routes.patch_status("forklift-inventory", &kube::api::PatchParams::default(), &to).await.unwrap();
        let place = bed.place(&format!("inventory-{number}"));
        let mut command = mtv_test(&place);
        command.args(["run", "sanity-cold", "--provider", "vsphere", "--kubeconfig", &lab.kubeconfig(), "--providers"]);
        command.arg(lab.path("providers.toml")).args([
            "--results-dir",
            "results",
            "--skip-data-collector",
            "--set",
            "inventory_timeout=4s",
        ]);
        let output = command.output().unwrap();
        judge(&output, &["inventory"]).unwrap_or_else(|why| panic!("{bad:?}: {why}"));
        assert!(!server.asked().is_empty(), "{bad:?}: the inventory was not asked\n{}", told(&output));
        assert!(fs::read_to_string(place.join("results/latest/junit-report.xml")).unwrap().contains("inventory"));
    }
    assert!(bed.trapped().is_empty(), "a redirect was followed: {:?}", bed.trapped());
}
