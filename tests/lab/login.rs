//! Logging in by user and password, and clusters that are protected.

use std::{fs, process::Command};

use crate::support::{Lab, binary, junit, told};

/// User and password of the administrator in the lab's data centre.
fn admin() -> (String, String) {
    let model = mtv_lab::datacenter::DataCenter::parse(mtv_lab::datacenter::DEFAULT).unwrap();
    (model.cluster.admin.user, model.cluster.admin.password)
}

/// A run that knows the cluster by its address alone.
fn by_password(lab: &Lab, arguments: &[&str]) -> Command {
    let info: serde_json::Value = serde_json::from_slice(&fs::read(lab.path("lab/lab.json")).unwrap()).unwrap();
    fs::write(lab.path("ca.pem"), info["ca_pem"].as_str().unwrap()).unwrap();
    let mut command = binary();
    command.current_dir(lab.folder.path()).env("HOME", lab.folder.path()).env("CLUSTER_HOST", info["api"].as_str().unwrap());
    command.args(["run", "--providers", "lab/providers.toml", "--provider", "vsphere", "--results-dir", "results"]).args(arguments);
    command
}

#[test]
fn a_login_by_user_and_password_is_enough_for_a_run() {
    let lab = Lab::start(&[]);
    let (user, password) = admin();
    let mut run = by_password(&lab, &["--set", "cluster_ca_file=ca.pem", "sanity-cold"]);
    let output = run.env("CLUSTER_USERNAME", &user).env("MTV_TEST_CLUSTER_PASSWORD", &password).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));

    // The password from a file, certificates unverified by the user's own choice, which the report shows; and it is wrong.
    fs::write(lab.path("password"), "wrong-password\n").unwrap();
    let mut run = by_password(&lab, &["--set", "insecure_verify_skip=true", "--set", "cluster_password_file=password", "sanity-cold"]);
    let output = run.env("CLUSTER_USERNAME", &user).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(told(&output).contains("the user name or password was refused"), "{}", told(&output));
    fs::write(lab.path("password"), &password).unwrap();
    let mut run = by_password(&lab, &["--set", "insecure_verify_skip=true", "--set", "cluster_password_file=password", "sanity-cold"]);
    let output = run.env("CLUSTER_USERNAME", &user).env("MTV_TEST_STORAGE_CLASS", "none-such").output().unwrap();
    assert!(told(&output).contains("StorageClass `none-such` does not exist"), "{}", told(&output));

    // Nobody vouches for the certificate.
    let mut run = by_password(&lab, &["sanity-cold"]);
    let output = run.env("CLUSTER_USERNAME", &user).env("CLUSTER_PASSWORD", &password).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(told(&output).contains("certificate") && told(&output).contains("cluster_ca_file"), "{}", told(&output));

    // Half a login takes no other cluster in its place.
    let output = by_password(&lab, &["sanity-cold"]).env("KUBECONFIG", lab.path("lab/kubeconfig")).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(told(&output).contains("cluster_host is set, but cluster_username is not"), "{}", told(&output));
}

#[test]
fn an_endpoint_that_is_not_verified_is_in_every_report() {
    let lab = Lab::start(&[]);
    let arguments = ["--set", "insecure_verify_skip=true", "--set", "source_provider_insecure_skip_verify=true", "sanity-cold"];
    let output = lab.run(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let said = "TLS certificates are not verified, by the user's own choice: cluster https://127.0.0.1";
    assert!(told(&output).contains(said) && told(&output).contains("; source https://127.0.0.1"), "{}", told(&output));
    let report = fs::read_to_string(lab.path("results/latest/junit-report.xml")).unwrap();
    assert!(report.contains("name=\"tls_unverified\" value=\"cluster https://127.0.0.1"), "{report}");
    assert!(fs::read_to_string(lab.path("results/latest/events.ndjson")).unwrap().contains("\"tls_unverified\":\"cluster https"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_cluster_stays_untouched() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let client = lab.client().await;
    let system: k8s_openapi::api::core::v1::Namespace = kube::Api::all(client.clone()).get("kube-system").await.unwrap();
    let versions = kube::Api::<kube::api::DynamicObject>::all_with(client, &mtv_api::kinds::CLUSTER_VERSION.resource());
    let id = versions.get("version").await.unwrap().data["spec"]["clusterID"].as_str().unwrap().to_uppercase();
    for rule in [
        format!("cluster_id = \"{}\"", system.metadata.uid.unwrap()),
        // The beginning of it, in other letters.
        format!("cluster_id = \"{}*\"", &id[..14]),
        "api_host = [\"api.prod.example.com\", \"127.*\"]".to_owned(),
        "infrastructure_name = \"LAB-*\"".to_owned(),
    ] {
        let text = format!(
            "# production\n[[protect]]\napi_host = \"api.other.example.com\"\n\n[[protect]]\nreason = \"customers work here\"\n{rule}\n"
        );
        fs::write(lab.path("mtv-test.toml"), text).unwrap();
        let output = lab.run(&["-m", "tier0"]).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{rule}: {}", told(&output));
        let key = rule.split(' ').next().unwrap();
        let expected = format!("the cluster is protected by protect.{key} = ");
        assert!(told(&output).contains(&expected) && told(&output).contains("(mtv-test.toml:7)"), "{rule}: {}", told(&output));
        assert!(told(&output).contains("customers work here"), "{rule}: {}", told(&output));
        let cases = junit(&lab.path("results/latest/junit-report.xml"));
        assert!(cases.contains(&("mtv-test/mtv-test/set_up".to_owned(), "error".to_owned())), "{cases:?}");
        assert_eq!(lab.objects().await, before, "{rule}");
    }
    let text = "[protect]\napi_host = \"*.example.com\"\ncluster_id = \"other\"\ninfrastructure_name = [\"prod-*\"]\n";
    fs::write(lab.path("mtv-test.toml"), text).unwrap();
    let output = lab.run(&["sanity-cold"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "rules for other clusters stop nothing: {}", told(&output));

    // What a run has left there is taken away all the same, and it is said where.
    let output = lab.run(&["--skip-teardown", "sanity-cold"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_ne!(lab.objects().await, before);
    fs::write(lab.path("mtv-test.toml"), "[protect]\napi_host = \"127.*\"\n").unwrap();
    let clean = lab.clean(&[]);
    assert_eq!(clean.status.code(), Some(0), "{}", told(&clean));
    assert!(told(&clean).contains("warning: the cluster is protected by protect.api_host"), "{}", told(&clean));
    assert_eq!(lab.objects().await, before, "{}", told(&clean));
    let gather = binary().current_dir(lab.folder.path()).args(["must-gather", "--kubeconfig", "lab/kubeconfig"]).output().unwrap();
    assert_eq!(gather.status.code(), Some(7), "{}", told(&gather));
    assert!(told(&gather).contains("the cluster is protected"), "{}", told(&gather));
    assert_eq!(lab.objects().await, before, "{}", told(&gather));
}
