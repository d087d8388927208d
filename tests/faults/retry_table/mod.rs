//! The retry table: each fault × each verb of each server, each cell with its documented verdict.
//!
//! | verdict | meaning |
//! |---|---|
//! | `P` | passes; the request was sent once |
//! | `R` | passes; the request was repeated |
//! | `L` | passes; sent once, and a look proved that what was to be made is there and ours |
//! | `C` | passes; sent again after a look had shown that nothing was there |
//! | `X` | refused at once, with the server's code in the error |
//!
//! Times are a quarter of the real ones on both sides: the policy's minute of patience is 15 s, a stall of 30 s is 7.5 s, and one
//! byte a second is four. A further server joins with one line in [`rows`].

mod beside;
mod inventory;
mod kubernetes;
mod openshift;
mod rest;
mod vsphere;

use std::time::Duration;

use futures::{StreamExt as _, future::BoxFuture, stream};
use mtv_lab::faults::{Effect, Rule, Server};
use mtv_test::{
    engine::{Deadline, Emitter, StepCx},
    retry::Policy,
};
use tokio_util::sync::CancellationToken;

/// By how much everything is faster.
const FASTER: u32 = 4;
/// Cells at the same time.
const AT_ONCE: usize = 40;

/// The columns: what happens to the first request of the row's verb.
const FAULTS: [&str; 15] = [
    "409",
    "410",
    "422",
    "429 with Retry-After",
    "429",
    "500",
    "503",
    "504 after commit",
    "reset in the body",
    "TLS close",
    "stall of 30 s",
    "one byte a second",
    "unreadable 2xx",
    "TLS close after commit",
    "no answer",
];

/// A column as a rule of the lab.
fn rule(server: Server, fault: &str) -> Rule {
    let new = |effect| Rule { times: Some(1), ..Rule::new(server, effect) };
    let status = |code| Rule { status: Some(code), ..new(Effect::Status) };
    match fault {
        "429 with Retry-After" => Rule { retry_after: Some(1), ..status(429) },
        "504 after commit" => Rule { committed: true, ..status(504) },
        "reset in the body" => new(Effect::Reset),
        "TLS close" => new(Effect::Close),
        "TLS close after commit" => Rule { committed: true, ..new(Effect::Close) },
        "stall of 30 s" => Rule { seconds: Some(30.0 / f64::from(FASTER)), ..new(Effect::Stall) },
        "no answer" => Rule { seconds: Some(600.0 / f64::from(FASTER)), ..new(Effect::Stall) },
        "one byte a second" => Rule { bytes_per_second: Some(FASTER.into()), ..new(Effect::Slow) },
        "unreadable 2xx" => new(Effect::Garble),
        code => status(code.parse().unwrap()),
    }
}

/// What one cell showed.
pub struct Seen {
    /// The error, if there was one.
    pub result: Result<(), String>,
    /// How often the verb was sent.
    pub sends: u64,
    /// Whether a look was needed that the same call does not need without faults.
    pub looked: bool,
    /// Objects that the call made, where it makes some; one is right.
    pub made: Option<usize>,
}

impl Seen {
    fn verdict(&self) -> char {
        match (&self.result, self.sends, self.looked) {
            (Err(_), ..) => 'X',
            (Ok(()), 0 | 1, false) => 'P',
            (Ok(()), 0 | 1, true) => 'L',
            (Ok(()), _, false) => 'R',
            (Ok(()), _, true) => 'C',
        }
    }
}

/// A cell's run: it gets the rule, still without verb, and a number that no other cell of its row has.
pub type Run = Box<dyn Fn(Rule, usize) -> BoxFuture<'static, Seen> + Send + Sync>;

/// A row: a verb of a server.
pub struct Row {
    pub name: &'static str,
    pub server: Server,
    /// One verdict for each column.
    pub expected: &'static str,
    pub run: Run,
}

/// The rows of all servers.
async fn rows() -> Vec<Row> {
    let mut rows = kubernetes::rows().await;
    rows.extend(inventory::rows().await);
    rows.extend(vsphere::rows());
    rows.extend(rest::rows());
    rows.extend(openshift::rows().await);
    rows.extend(Box::pin(beside::rows()).await);
    // `MTV_TEST_ROWS=OAuth` tries only the rows with this in their name.
    let wanted = std::env::var("MTV_TEST_ROWS").unwrap_or_default();
    rows.retain(|row| row.name.contains(&wanted));
    rows
}

/// What a wait needs.
pub fn cx(limit: Duration) -> StepCx {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    StepCx { emitter: Emitter::new("r1", events), deadline: Deadline::after(limit), cancel: CancellationToken::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_has_its_verdict() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = Policy::STANDARD.faster(FASTER);
    let rows = Box::pin(policy.scope(rows())).await;
    let cells = rows.iter().flat_map(|row| (0..FAULTS.len()).map(move |column| (row, column)));
    let run = |(row, column): (&Row, usize)| {
        let cell = (row.run)(rule(row.server, FAULTS[column]), column);
        let (name, expected) = (row.name, row.expected.chars().nth(column).expect("a verdict for each column"));
        async move {
            let seen = policy.scope(cell).await;
            let mut wrong = Vec::new();
            // What a broken watch missed is found by the list or by the watch that follows it.
            let by_list = name == "Kubernetes watch" && (seen.verdict(), expected) == ('P', 'R');
            // An image's id in its 52 bytes comes within the patience of 60 s, or just not.
            let image = ["OpenStack clone, image", "OpenStack snapshot"].contains(&name) && FAULTS[column] == "one byte a second";
            let in_time = image && (seen.verdict(), expected) == ('P', 'L');
            if seen.verdict() != expected && !by_list && !in_time {
                wrong.push(format!("{} instead of {expected} ({} sent, {:?})", seen.verdict(), seen.sends, seen.result));
            }
            if let Some(made) = seen.made
                && made != usize::from(expected != 'X')
            {
                wrong.push(format!("{made} objects made"));
            }
            if let Err(error) = &seen.result
                && let Ok(code) = FAULTS[column].parse::<u16>()
                && !error.contains(&code.to_string())
            {
                wrong.push(format!("the error does not say {code}: {error}"));
            }
            (!wrong.is_empty()).then(|| format!("{name} × {}: {}", FAULTS[column], wrong.join("; ")))
        }
    };
    let wrong: Vec<Option<String>> = stream::iter(cells).map(run).buffer_unordered(AT_ONCE).collect().await;
    let (tried, wrong) = (wrong.len(), wrong.into_iter().flatten().collect::<Vec<_>>());
    println!("retry table: {tried} cells, {} with another verdict than documented", wrong.len());
    assert!(wrong.is_empty(), "{} of {tried} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried >= 100 || std::env::var_os("MTV_TEST_ROWS").is_some(), "only {tried} cells");
}
