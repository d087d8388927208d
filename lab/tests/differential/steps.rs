//! Interactions: what they are, and how they run against a server.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{compare::Answer, servers::Side};

/// Longest wait for the events of a watch: far more than they take, so that only a defect reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What takes longer is told, so that an event that never comes does not go unnoticed.
const SLOW: Duration = Duration::from_secs(5);

/// How long until it is looked again for a path that is not served yet.
const AGAIN: Duration = Duration::from_millis(20);

/// How much of an answer is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// Everything.
    #[default]
    All,
    /// The code and the headers.
    Head,
    /// What both have: items of lists are found by their names, and the lab may have fewer than the real server.
    Common,
    /// Which fields there are and of which type, not their values.
    Fields,
    /// Nothing: it prepares what comes.
    Nothing,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// `METHOD /path?query`.
    #[serde(rename = "do")]
    pub request: String,
    /// Whose token is sent; `none` sends none.
    #[serde(rename = "as", default)]
    user: Option<String>,
    /// Content type of the body.
    #[serde(rename = "type", default)]
    media: Option<String>,
    #[serde(default)]
    accept: Option<String>,
    /// The body as YAML, sent as JSON.
    #[serde(default)]
    body: Option<Value>,
    /// The body as it is.
    #[serde(default)]
    text: Option<String>,
    /// Parts of the answer that later steps name as `$NAME`, by JSON pointer.
    #[serde(default)]
    keep: BTreeMap<String, String>,
    /// A watch: it is read up to so many events.
    #[serde(default)]
    events: Option<usize>,
    /// A watch: it is read up to an event that holds this type, and not compared.
    #[serde(rename = "await", default)]
    awaited: Option<String>,
    /// Asked again until it is served: nothing can be watched for a new definition's path to be there.
    #[serde(default)]
    served: bool,
    #[serde(default)]
    compare: Compare,
}

/// A file of steps that share a namespace, `$ns`.
pub struct File {
    name: String,
    steps: Vec<Step>,
}

/// The folder of interactions: ours, or the one that `MTV_TEST_INTERACTIONS` names.
pub fn folder() -> (PathBuf, bool) {
    match std::env::var_os("MTV_TEST_INTERACTIONS").filter(|name| !name.is_empty()) {
        Some(other) => (other.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/interactions"), true),
    }
}

/// All files of a folder.
pub fn read(folder: &Path) -> Vec<File> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let steps = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
            File { name, steps }
        })
        .collect()
}

/// Puts kept values in; longer names first, so that `$uid2` is not taken for `$uid`.
fn filled(text: &str, kept: &BTreeMap<String, String>) -> String {
    kept.iter().rev().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
}

/// Runs everything: the steps of a file one after the other, the files at the same time, but for those about discovery, which
/// come before anything is defined that they would show.
pub async fn run(side: &Side, files: &[File]) -> Vec<Answer> {
    let (first, rest): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.name.starts_with("discovery"));
    let mut answers = Vec::new();
    for files in [first, rest] {
        answers.extend(futures::future::join_all(files.into_iter().map(|file| run_one(side, file))).await.into_iter().flatten());
    }
    answers
}

async fn run_one(side: &Side, file: &File) -> Vec<Answer> {
    let mut answers = Vec::new();
    {
        let mut kept = BTreeMap::from([("ns".to_owned(), format!("d-{}", file.name))]);
        let created = json!({ "metadata": { "name": kept["ns"] } });
        let code = send(side, "POST", "/api/v1/namespaces", &kept, &Step::creating(created)).await.code;
        assert_eq!(code, 201, "{}: the namespace of {}", side.name, file.name);
        for (at, step) in file.steps.iter().enumerate() {
            let (method, path) = step.request.split_once(' ').unwrap();
            let start = Instant::now();
            let mut answer = send(side, method, path, &kept, step).await;
            while step.served && answer.code != 200 && start.elapsed() < PATIENCE {
                tokio::time::sleep(AGAIN).await;
                answer = send(side, method, path, &kept, step).await;
            }
            answer.place = format!("{} {at}: {}", file.name, step.request);
            answer.compare = if step.awaited.is_some() { Compare::Nothing } else { step.compare };
            for (name, pointer) in &step.keep {
                // What is missing shows as a difference of this answer.
                let value = answer.body.pointer(pointer).and_then(Value::as_str).unwrap_or("missing");
                kept.insert(name.clone(), value.to_owned());
            }
            answer.kept.clone_from(&kept);
            if start.elapsed() > SLOW {
                println!("{}: {:.0?} for {}", side.name, start.elapsed(), answer.place);
            }
            answers.push(answer);
        }
    }
    answers
}

impl Step {
    fn creating(body: Value) -> Self {
        Self {
            request: String::new(),
            user: None,
            media: None,
            accept: None,
            body: Some(body),
            text: None,
            keep: BTreeMap::new(),
            events: None,
            awaited: None,
            served: false,
            compare: Compare::Nothing,
        }
    }

    fn enough(&self, events: &[Value]) -> bool {
        match (&self.awaited, self.events) {
            (Some(awaited), _) => events.iter().any(|event| event["type"] == awaited.as_str()),
            (None, Some(wanted)) => events.len() >= wanted,
            (None, None) => false,
        }
    }
}

async fn send(side: &Side, method: &str, path: &str, kept: &BTreeMap<String, String>, step: &Step) -> Answer {
    let url = format!("{}{}", side.url, filled(path, kept));
    let mut request = side.http.request(method.parse().unwrap(), url);
    let user = step.user.as_deref().unwrap_or(mtv_testkit::cluster::ADMIN);
    if user != "none" {
        request = request.bearer_auth(mtv_testkit::cluster::token(user));
    }
    if let Some(accept) = &step.accept {
        request = request.header("accept", accept);
    }
    let body = step.text.clone().or_else(|| step.body.as_ref().map(Value::to_string));
    if let Some(body) = body {
        request = request.body(filled(&body, kept)).header("content-type", step.media.as_deref().unwrap_or("application/json"));
    } else if let Some(media) = &step.media {
        request = request.header("content-type", media);
    }
    let mut response = request.send().await.unwrap_or_else(|error| panic!("{}: {method} {path}: {error}", side.name));
    let mut answer = Answer::of(&response);
    if step.events.is_none() && step.awaited.is_none() || answer.code != 200 {
        answer.body = parsed(&response.bytes().await.unwrap());
        return answer;
    }
    let (mut text, mut events) = (Vec::new(), Vec::new());
    let reading = async {
        while !step.enough(&events) {
            match response.chunk().await {
                Ok(Some(chunk)) => text.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return,
            }
            let whole: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).collect();
            events = whole.into_iter().map(parsed).collect();
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, reading).await.is_ok();
    assert!(in_time || step.awaited.is_none(), "{}: {path}: no {:?} but {events:?}", side.name, step.awaited);
    if let Some(wanted) = step.events {
        events.truncate(wanted);
    }
    answer.body = json!({ "events": events });
    answer
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}
