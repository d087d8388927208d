//! A lab in its own process, runs against it, and a look at what is in it.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use kube::{
    Api, Client, Config,
    api::{DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt as _, watcher},
};
use mtv_api::kinds::{self, Kind};
use mtv_test::{config::profile_file::ProfileFile, providers};
use tempfile::TempDir;

/// The binary under test: the one that was built with the tests, or another one, such as that of a release, in `MTV_TEST_BIN`.
pub fn binary() -> Command {
    let other = std::env::var_os("MTV_TEST_BIN").filter(|path| !path.is_empty());
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_mtv-test").into()));
    // What the developer's machine has configured must not reach the test.
    for name in [
        "KUBECONFIG",
        "ARTIFACT_DIR",
        "KUBERNETES_SERVICE_HOST",
        "RUST_LOG",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
        "CLICOLOR_FORCE",
        "CLUSTER_HOST",
        "CLUSTER_USERNAME",
        "CLUSTER_PASSWORD",
    ] {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    command
}

/// Options that name the lab, from its folder.
const PLACE: [&str; 4] = ["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"];

/// Kinds of what a run could leave behind.
const ALL: &[&Kind] = &[
    &kinds::NAMESPACE,
    &kinds::SECRET,
    &kinds::PVC,
    &kinds::PV,
    &kinds::POD,
    &kinds::JOB,
    &kinds::VM,
    &kinds::VMI,
    &kinds::DATA_VOLUME,
    &kinds::NAD,
    &kinds::PROVIDER,
    &kinds::STORAGE_MAP,
    &kinds::NETWORK_MAP,
    &kinds::PLAN,
    &kinds::MIGRATION,
    &kinds::CONVERSION,
];

/// Names of all objects of some kinds.
async fn objects(client: Client, wanted: &[&Kind]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for kind in wanted {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource());
        for object in api.list(&ListParams::default()).await.unwrap() {
            names.insert(format!("{} {}/{}", kind.kind, object.metadata.namespace.unwrap_or_default(), object.metadata.name.unwrap()));
        }
    }
    names
}

/// A lab that ends with the test, even when it panics.
pub struct Lab {
    child: Child,
    /// Holds kubeconfig, providers.toml, lab.json and results.
    pub folder: TempDir,
    // Kept open: a closed pipe would end the lab when it prints.
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Lab {
    /// Starts one; more options are for `lab serve`.
    pub fn start(options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = binary();
        command.args(["lab", "serve", "--dir"]).arg(folder.path().join("lab")).args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("lab ready") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "the lab ended before it was ready");
        }
        Self { child, folder, _stdout: stdout }
    }

    /// Ends it as a user does, and waits for it.
    pub fn interrupt(mut self) -> std::process::ExitStatus {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `run` against this lab, not started yet.
    pub fn run(&self, arguments: &[&str]) -> Command {
        self.run_into("results", arguments)
    }

    /// The same with a results folder of its own.
    pub fn run_into(&self, results: &str, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.current_dir(self.folder.path()).arg("run").args(PLACE).args(["--results-dir", results]);
        if !arguments.contains(&"--provider") {
            command.args(["--provider", "vsphere"]);
        }
        command.args(arguments);
        command
    }

    /// `clean` of what runs have left without their files, with a source.
    pub fn clean_orphans(&self, provider: &str) -> Output {
        let mut command = binary();
        command.current_dir(self.folder.path()).args(["clean", "--orphans", "--older-than", "0s", "--provider", provider]).args(PLACE);
        command.output().unwrap()
    }

    /// `clean` of the last run.
    pub fn clean(&self, arguments: &[&str]) -> Output {
        let mut command = binary();
        command.current_dir(self.folder.path()).args(["clean", "results/latest/resources.json"]).args(PLACE).args(arguments);
        command.output().unwrap()
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// `lab fault` for this lab: what it printed.
    pub fn fault(&self, arguments: &[&str]) -> serde_json::Value {
        let output = binary().args(["lab", "fault", "--dir"]).arg(self.path("lab")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A client of the cluster, which faults spare.
    pub async fn client(&self) -> Client {
        self.client_of("kubeconfig").await
    }

    /// The same for one of its clusters, by the name of its kubeconfig.
    pub async fn client_of(&self, kubeconfig: &str) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(self.path("lab").join(kubeconfig)).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(mtv_lab::faults::OWN_AGENT)));
        Client::try_from(config).unwrap()
    }

    /// Names of everything that a run could leave behind, and of what must survive it.
    pub async fn objects(&self) -> BTreeSet<String> {
        objects(self.client().await, ALL).await
    }

    /// The same for the cluster that VMs come from; it has no Forklift.
    pub async fn source_objects(&self) -> BTreeSet<String> {
        let without_forklift: Vec<&Kind> = ALL.iter().copied().filter(|kind| kind.group != kinds::PLAN.group).collect();
        objects(self.client_of("kubeconfig-remote").await, &without_forklift).await
    }

    /// Names of the VMs on the source that carry the mark of a run.
    pub async fn clones_of(&self, run: &str) -> Vec<String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = ProfileFile::load(&self.path("lab/providers.toml")).unwrap();
        let (profile, _) = file.select("vsphere", &|_| None).unwrap();
        let source = providers::connect(&profile).await.unwrap();
        source.cloner().unwrap().of_run(run).await.unwrap().into_iter().map(|vm| vm.name).collect()
    }

    /// Waits, by a watch, until an object of a kind satisfies a condition.
    pub async fn wait_for(&self, kind: &'static Kind, mut holds: impl FnMut(&DynamicObject) -> bool) {
        use futures::StreamExt as _;
        let api: Api<DynamicObject> = Api::all_with(self.client().await, &kind.resource());
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
        let seen = async {
            while let Some(object) = events.next().await {
                if object.is_ok_and(|o| holds(&o)) {
                    return;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), seen).await.expect("the object did not come within a minute");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cases of a JUnit file by `suite/case`: `passed`, `failure`, `error` or `skipped`.
pub fn junit(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let mut cases = Vec::new();
    for suite in document.descendants().filter(|n| n.has_tag_name("testsuite")) {
        for case in suite.children().filter(|n| n.has_tag_name("testcase")) {
            let ended = ["failure", "error", "skipped"].into_iter().find(|tag| case.children().any(|c| c.has_tag_name(*tag)));
            let name = format!("{}/{}", suite.attribute("name").unwrap(), case.attribute("name").unwrap());
            cases.push((name, ended.unwrap_or("passed").to_owned()));
        }
    }
    cases
}

/// Cases of a JUnit file that are not as they should be in a run that passes: every step passes, and of checks that do not apply to a
/// VM the report says so.
pub fn not_well(cases: &[(String, String)]) -> Vec<&(String, String)> {
    cases.iter().filter(|(name, ended)| ended != "passed" && !(is_check(name) && ended == "skipped")).collect()
}

/// Whether a case is that of a check, `suite/scenario/verify/vm/check`, and not of a step.
pub fn is_check(name: &str) -> bool {
    name.matches('/').count() > 2
}

/// What a process printed, for messages of failed assertions.
pub fn told(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
