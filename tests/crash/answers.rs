//! Answers that prove nothing: `clean` must not take them for "it does not exist", nor wait for them beyond its time.

use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use mtv_test::journal::{self, State};

use crate::{
    clean::killed,
    front::{Answer, Front},
    support::{Lab, binary, told},
    traces::Eyes,
};

/// Far more than the time that a command is given, and far less than it would take without it.
const PATIENCE: Duration = Duration::from_secs(100);

/// `clean` through a front, beside the test's runtime, which serves it.
async fn clean(lab: &Lab, front: &Front, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.current_dir(&lab.folder).arg("clean").args(arguments).arg("--kubeconfig").arg(&front.kubeconfig);
    command.args(["--providers", "lab/providers.toml"]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What stands in the place of answers about objects: none of it says that they do not exist.
fn garbled() -> Vec<(&'static str, Answer)> {
    let html = |status| Answer { status, content_type: "text/html", body: "<html><body>who are you?</body></html>".to_owned() };
    let plain = |status, body: &str| Answer { status, content_type: "text/plain", body: body.to_owned() };
    let nameless = r#"{"apiVersion":"v1","kind":"List","metadata":{},"items":[{}]}"#;
    vec![
        ("nothing", plain(200, "")),
        ("{}", Answer::json(200, "{}")),
        ("html", html(200)),
        ("a list of nameless objects", Answer::json(200, nameless)),
        (
            "a list of another kind",
            Answer::json(200, r#"{"apiVersion":"v1","kind":"GizmoList","metadata":{"resourceVersion":"1"},"items":[]}"#),
        ),
        ("a list without its kind", Answer::json(200, r#"{"metadata":{"resourceVersion":"1"},"items":[]}"#)),
        ("html with 404", html(404)),
        ("{} with 404", Answer::json(404, "{}")),
        ("words with 404", plain(404, "no such site\n")),
        ("the router's words for what is served", plain(404, "404 page not found\n")),
        ("another API's 404", Answer::json(404, r#"{"code":404,"message":"not found"}"#)),
    ]
}

/// Requests about objects; not the discovery, nor the namespace by which a cluster is known.
fn about_objects(path: &str) -> bool {
    let known = path.contains("/namespaces/kube-system");
    let parts = path.split(['/', '?']).filter(|part| !part.is_empty()).count();
    !known && (path.starts_with("/api/v1/") || (path.starts_with("/apis/") && parts > 3))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_api_server_says_that_something_is_gone() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let (eyes, front) = (Eyes::of(&lab).await, Front::before(&lab).await);
    let before = lab.objects().await;
    let (folder, run) = killed(&lab, "garbled", "sanity-cold").await;
    for (name, answer) in garbled() {
        let copy = lab.path("copy.json");
        fs::copy(folder.join("resources.json"), &copy).unwrap();
        let answered = answer.clone();
        front.answers(move |_, path| about_objects(path).then(|| answered.clone()));
        let cleaned = clean(&lab, &front, &[copy.to_str().unwrap(), "--timeout", "3s"]).await;
        assert!(matches!(cleaned.status.code(), Some(7 | 8)), "{name}: {}", told(&cleaned));
        assert!(!told(&cleaned).contains("nothing is left of run"), "{name}: {}", told(&cleaned));
        let records = journal::read(&copy).unwrap().records;
        let objects = |record: &&journal::Record| matches!(record.entry, journal::Entry::Object { .. });
        let gone: Vec<_> = records.iter().filter(objects).filter(|record| record.state == State::Gone).collect();
        assert!(gone.is_empty(), "{name}: noted as gone: {gone:?}");
    }
    let namespace = format!("Namespace /{}", mtv_test::run::names::namespace("mtv-test", &run));
    assert!(lab.objects().await.contains(&namespace), "nothing was asked to be deleted");
    front.answers(|_, _| None);
    let done = clean(&lab, &front, &[folder.to_str().unwrap()]).await;
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new());
    assert_eq!(lab.objects().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_api_server_is_not_searched_in_vain() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let front = Front::before(&lab).await;
    for (status, content_type, words) in [(404, "text/plain", "gone fishing"), (200, "text/html", "<html>gone fishing</html>")] {
        front.answers(move |_, _| Some(Answer { status, content_type, body: words.to_owned() }));
        let orphans = clean(&lab, &front, &["--orphans", "--timeout", "5s"]).await;
        assert_eq!(orphans.status.code(), Some(7), "{}", told(&orphans));
        for expected in ["gone fishing", "https://127.0.0.1:"] {
            assert!(told(&orphans).contains(expected), "{expected}: {}", told(&orphans));
        }
        assert!(!told(&orphans).contains("nothing is left"), "{}", told(&orphans));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_the_cluster_does_not_serve_has_no_objects() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let (eyes, front) = (Eyes::of(&lab).await, Front::before(&lab).await);
    let (folder, run) = killed(&lab, "unserved", "sanity-cold").await;
    // As where Multus was never installed: neither the discovery nor the router knows its group.
    front.answers(|_, path| {
        let group = "k8s.cni.cncf.io";
        let groups = r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}]}]}"#;
        match path {
            "/apis" => Some(Answer::json(200, groups)),
            path if path.contains(group) => {
                Some(Answer { status: 404, content_type: "text/plain; charset=utf-8", body: "404 page not found\n".to_owned() })
            }
            _ => None,
        }
    });
    let done = clean(&lab, &front, &[folder.to_str().unwrap()]).await;
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new());
}

/// What a source does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Silent,
    Processing,
}

/// A server on loopback that never comes to an answer.
fn source(kind: Source) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut sink = [0; 4096];
                if kind == Source::Processing {
                    let _ = stream.read(&mut sink);
                    while std::io::Write::write_all(&mut stream, b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
                while stream.read(&mut sink).is_ok_and(|count| count > 0) {}
                // Held open until the other side goes.
            });
        }
    });
    address.to_string()
}

fn profiles(lab: &Lab, address: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(lab.path("lab/providers.toml")).unwrap()).unwrap();
    file["provider"]["vsphere"]["api_url"] = format!("https://{address}/sdk").into();
    let path = lab.path("silent.toml");
    fs::write(&path, file.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn orphans(lab: &Lab, profiles: &str, kubeconfig: &str, timeout: &str) -> Command {
    let mut command = binary();
    command.current_dir(&lab.folder).args(["clean", "--orphans", "--provider", "vsphere", "--kubeconfig", kubeconfig]);
    command.args(["--providers", profiles, "--timeout", timeout]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_holds_for_the_first_connections_too() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let silent = source(Source::Silent);
    // A cluster that takes the connection and says nothing.
    let text = fs::read_to_string(lab.path("lab/kubeconfig")).unwrap();
    let server = text.lines().find_map(|line| line.trim().strip_prefix("server: https://")).unwrap().trim_matches('"').to_owned();
    fs::write(lab.path("silent-cluster"), text.replace(&server, &silent)).unwrap();
    for (what, profiles, kubeconfig, codes) in [
        ("silent source", profiles(&lab, &silent), "lab/kubeconfig", [8, 7]),
        ("endless interim answers", profiles(&lab, &source(Source::Processing)), "lab/kubeconfig", [8, 7]),
        ("silent cluster", "lab/providers.toml".to_owned(), "silent-cluster", [7, 7]),
    ] {
        let started = Instant::now();
        let ended = orphans(&lab, &profiles, kubeconfig, "3s").output().unwrap();
        assert!(started.elapsed() < PATIENCE, "{what}: {:?}", started.elapsed());
        assert!(ended.status.code().is_some_and(|code| codes.contains(&code)), "{what}: {}", told(&ended));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_heard_while_a_source_is_silent() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let silent = source(Source::Silent);
    let log = lab.path("points");
    let mut command = orphans(&lab, &profiles(&lab, &silent), "lab/kubeconfig", "10m");
    let child = command.env("MTV_TEST_KILL_LOG", &log).spawn().unwrap();
    // It has spoken to the cluster: the handlers are in place.
    let started = Instant::now();
    while !fs::read_to_string(&log).is_ok_and(|log| !log.is_empty()) {
        assert!(started.elapsed() < PATIENCE, "the clean-up never began");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{}", told(&ended));
    assert!(told(&ended).contains("interrupted"), "{}", told(&ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_in_the_results_folder_is_passed_over() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let results = lab.path("results");
    for name in ["fifo", "socket", "folder"] {
        fs::create_dir_all(results.join(name)).unwrap();
    }
    assert!(Command::new("mkfifo").arg(results.join("fifo/resources.json")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(results.join("socket/resources.json")).unwrap();
    fs::create_dir(results.join("folder/resources.json")).unwrap();
    let clean = |arguments: &[&str]| {
        let mut command = binary();
        command.current_dir(&lab.folder).arg("clean").args(arguments).args(["--kubeconfig", "lab/kubeconfig", "--timeout", "5s"]);
        command.args(["--providers", "lab/providers.toml", "--set", "results_dir=results"]);
        command.output().unwrap()
    };
    let orphans = clean(&["--orphans", "--older-than", "0s"]);
    assert!(orphans.status.success(), "{}", told(&orphans));
    for (name, words) in [("fifo", "a FIFO"), ("socket", "a socket"), ("folder", "a folder")] {
        let path = results.join(name).join("resources.json");
        let refused = clean(&[path.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(4), "{name}: {}", told(&refused));
        // The path of a folder leads to the journal in it.
        let words = if Path::new(name).ends_with("folder") { "does not exist" } else { words };
        assert!(told(&refused).contains(words), "{name}: {}", told(&refused));
    }
}
