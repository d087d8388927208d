//! Logins that end, logins without a token, and rights that are missing or late.

use std::fs;

use serde_json::json;

use crate::{
    bed::{Place, Server, kubeconfig, reach, text, write},
    support::{Lab, binary, told},
};

/// A data centre with these rules for faults.
fn data_center(folder: &std::path::Path, rules: &str) {
    write(folder, "dc.toml", format!("{}\n{rules}", mtv_lab::datacenter::DEFAULT));
}

fn rule(server: &str, verb: &str, more: &str) -> String {
    format!("[[faults.requests]]\nserver = \"{server}\"\nverb = \"{verb}\"\neffect = \"status\"\n{more}\n")
}

#[test]
fn a_login_by_password_is_renewed_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    // Once each: a list, a watch, and a read of the inventory.
    let ended = [
        rule("kubernetes", "list", "status = 401\ntimes = 1"),
        rule("kubernetes", "watch", "status = 401\ntimes = 1"),
        rule("inventory", "get", "status = 401\ntimes = 1"),
    ];
    data_center(folder.path(), &ended.concat());
    let datacenter = folder.path().join("dc.toml");
    let admin = mtv_lab::datacenter::DataCenter::parse(mtv_lab::datacenter::DEFAULT).unwrap().cluster.admin;
    let lab = Lab::start(&["--datacenter", datacenter.to_str().unwrap()]);
    let place = Place::of(&lab);
    write(lab.folder.path(), "ca.pem", &place.ca);
    let mut run = binary();
    run.current_dir(lab.folder.path()).args(["run", "--providers", "lab/providers.toml", "--provider", "vsphere", "--results-dir", "r"]);
    run.args(["--set", &format!("cluster_host={}", place.api), "--set", "cluster_ca_file=ca.pem", "sanity-cold"]);
    run.args(["--set", &format!("cluster_username={}", admin.user)]).env("MTV_TEST_CLUSTER_PASSWORD", &admin.password);
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let faults = lab.fault(&["list"]);
    assert!(faults["rules"].as_array().unwrap().iter().all(|rule| rule["done"] == 1), "each has come about: {faults}");

    // A token that cannot be renewed is refused.
    let lab = Lab::start(&["--datacenter", datacenter.to_str().unwrap()]);
    let output = lab.run(&["sanity-cold"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(text(&output).contains("401"), "{}", told(&output));
}

/// A server that knows its clients by their certificates; the inventory knows tokens only.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_token_is_refused_before_anything_is_created() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let server = Server::with_login(&place);
    let cluster = json!({ "server": format!("http://127.0.0.1:{}", server.port) });
    let file = write(lab.folder.path(), "lab/kubeconfig-certificate", kubeconfig(&cluster, &json!({})));
    // Not by http without a word of the user.
    let output = reach(lab.folder.path(), &file).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(text(&output).contains("cluster_allow_plain_http = true"), "{}", told(&output));
    let output = reach(lab.folder.path(), &file).args(["--set", "cluster_allow_plain_http=true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "what needs no inventory works: {}", told(&output));

    let before = lab.objects().await;
    let mut run = binary();
    run.current_dir(lab.folder.path()).args(["run", "--kubeconfig", "lab/kubeconfig-certificate", "--providers", "lab/providers.toml"]);
    run.args(["--provider", "vsphere", "--results-dir", "r", "--set", "cluster_allow_plain_http=true", "sanity-cold"]);
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    let shown = text(&output);
    assert!(
        shown.contains("the inventory refuses the login to the cluster (401") && shown.contains("hint: log in with `oc login`"),
        "{shown}"
    );
    assert_eq!(lab.objects().await, before);
    assert!(!shown.contains("clon"), "nothing was cloned: {shown}");
}

#[test]
fn a_right_that_comes_late_is_waited_for_and_one_that_is_missing_is_named() {
    let forbidden = |resource: &str, times: &str| {
        rule(
            "kubernetes",
            "create",
            &format!(
                "namespace = \"mtv-test-*\"\nresource = \"{resource}\"\nstatus = 403\n{times}\nmessage = '{resource}.forklift.konveyor.io \"x\" is \
                 forbidden: User \"system:serviceaccount:ci:runner\" cannot create resource \"{resource}\" in API group \
                 \"forklift.konveyor.io\" in the namespace \"mtv-test-x\"'"
            ),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |rules: &str, results: &str| {
        data_center(folder.path(), rules);
        let mut run = binary();
        run.current_dir(folder.path()).args([
            "run",
            "--lab",
            "--datacenter",
            "dc.toml",
            "--skip-data-collector",
            "sanity-cold",
            "--results-dir",
        ]);
        run.arg(results).output().unwrap()
    };
    let output = run(&forbidden("providers", "times = 2"), "late");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let output = run(&forbidden("plans", ""), "never");
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    for words in [
        "failed to create Plan mtv-test-",
        "hint: check it with `oc auth can-i create plans.forklift.konveyor.io -n mtv-test-x`",
        "kubectl create clusterrole mtv-test-create --verb=create --resource=plans.forklift.konveyor.io",
        "--serviceaccount=ci:runner -n mtv-test-x",
    ] {
        assert!(text(&output).contains(words), "{words}: {}", told(&output));
    }
    // A policy that says no says it again: it is not asked for seconds.
    let quota = rule(
        "kubernetes",
        "create",
        "namespace = \"mtv-test-*\"\nresource = \"plans\"\nstatus = 403\nmessage = 'plans \"x\" is forbidden: exceeded quota: q'",
    );
    let output = run(&quota, "quota");
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(text(&output).contains("exceeded quota") && !text(&output).contains("oc auth can-i"), "{}", told(&output));
    assert!(fs::read_to_string(folder.path().join("quota/latest/junit-report.xml")).unwrap().contains("exceeded quota"));
}
