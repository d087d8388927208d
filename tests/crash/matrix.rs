//! Kills a process at a point, cleans up after it, and sees what is left.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    support::{Lab, binary, told},
    traces::{Eyes, only_run},
};

/// Which process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// A run of the cold scenario.
    Cold,
    /// A run of the warm scenario.
    Warm,
    /// `clean` after a run that was killed in the middle.
    Clean,
}

/// What came of one kill.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Processes that were killed at their point.
    pub killed: usize,
    /// Processes that had ended before they came to it.
    pub not_reached: usize,
    /// Kills after which something was there: what a list that is written at the end of a run would have lost.
    pub littered: usize,
    /// Kills after which something was left when `clean` had run.
    pub leaks: usize,
}

/// The lab with what the kills need.
pub struct Matrix {
    lab: Arc<Lab>,
    eyes: Eyes,
    numbers: AtomicUsize,
    /// Point of a cold run at which it is killed before `clean` is.
    middle: u64,
}

/// Kills that are asked for: `None` for all.
pub fn wanted(default: usize) -> Option<usize> {
    match std::env::var("MTV_TEST_KILLS").as_deref() {
        Ok("all") => None,
        Ok(number) => Some(number.parse().expect("MTV_TEST_KILLS is a number or `all`")),
        Err(_) => Some(default),
    }
}

/// How many at the same time. Most of the time each waits for the lab; `MTV_TEST_KILLS_AT_ONCE` says otherwise.
pub fn side_by_side() -> usize {
    std::env::var("MTV_TEST_KILLS_AT_ONCE").map_or(4, |number| number.parse().expect("MTV_TEST_KILLS_AT_ONCE is a number"))
}

impl Matrix {
    pub async fn new(lab: Arc<Lab>) -> Self {
        let eyes = Eyes::of(&lab).await;
        let mut matrix = Self { lab, eyes, numbers: AtomicUsize::new(0), middle: 0 };
        let points = matrix.points(Victim::Cold);
        // The Migration runs then: the clone is made, and Forklift has begun to make things of its own.
        let migration = points.iter().rposition(|name| name == "create").unwrap();
        matrix.middle = u64::try_from((migration + 12).min(points.len() - 1)).unwrap();
        matrix
    }

    pub fn eyes(&self) -> &Eyes {
        &self.eyes
    }

    fn folder(&self) -> PathBuf {
        let folder = self.lab.path(&format!("kill-{}", self.numbers.fetch_add(1, Ordering::SeqCst)));
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.current_dir(&self.lab.folder).args(arguments);
        command.args(["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, scenario: &str, results: &Path) -> Command {
        let mut command = self.command(&["run", scenario, "--provider", "vsphere", "--set", "cutover_delay=20s"]);
        command.arg("--results-dir").arg(results);
        command
    }

    fn clean(&self, journal: &Path) -> Command {
        let mut command = self.command(&["clean"]);
        command.arg(journal);
        command
    }

    /// Names of the points that a process passes from its start to its end.
    pub fn points(&self, victim: Victim) -> Vec<String> {
        let folder = self.folder();
        let log = folder.join("points");
        let mut command = match victim {
            Victim::Cold => self.run("sanity-cold", &folder.join("results")),
            Victim::Warm => self.run("sanity-warm", &folder.join("results")),
            Victim::Clean => self.clean(&self.killed_run(&folder)),
        };
        let output = ran(command.env("MTV_TEST_KILL_LOG", &log));
        assert!(output.status.success(), "{}", told(&output));
        let text = fs::read_to_string(log).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// A run that was killed in the middle; its journal.
    fn killed_run(&self, folder: &Path) -> PathBuf {
        let results = folder.join("before");
        let output = ran(self.run("sanity-cold", &results).env("MTV_TEST_KILL_AT", self.middle.to_string()));
        assert!(was_killed(&output), "the run before was not killed: {}", told(&output));
        only_run(&results).unwrap().0.join("resources.json")
    }

    /// Kills a process at a point and cleans up.
    pub async fn kill(&self, victim: Victim, at: u64) -> Tally {
        let folder = self.folder();
        let (mut command, results) = match victim {
            Victim::Cold => (self.run("sanity-cold", &folder.join("results")), folder.join("results")),
            Victim::Warm => (self.run("sanity-warm", &folder.join("results")), folder.join("results")),
            Victim::Clean => (self.clean(&self.killed_run(&folder)), folder.join("before")),
        };
        let output = ran(command.env("MTV_TEST_KILL_AT", at.to_string()));
        let killed = was_killed(&output);
        assert!(killed || output.status.success(), "{victim:?} {at}: {}", told(&output));
        let mut tally = Tally { killed: usize::from(killed), not_reached: usize::from(!killed), ..Tally::default() };
        let Some((folder, run)) = only_run(&results) else { return tally };
        tally.littered = usize::from(killed && !self.eyes.traces(&run).await.is_empty());
        let journal = folder.join("resources.json");
        if journal.is_file() {
            let clean = ran(&mut self.clean(&journal));
            if !clean.status.success() {
                println!("{victim:?} {at}: clean ended with {}", told(&clean));
                tally.leaks = 1;
            }
        }
        let left = self.eyes.traces(&run).await;
        if !left.is_empty() {
            println!("{victim:?} {at}: run {run} has left {left:?}");
            tally.leaks = 1;
        }
        if tally.leaks == 0 {
            let _ = fs::remove_dir_all(results.parent().unwrap());
        }
        tally
    }

    /// Kills at all points of the victims, or at so many of them, evenly spread; several at the same time.
    pub async fn carry_out(self: &Arc<Self>, victims: &[Victim], most: Option<usize>, side_by_side: usize) -> BTreeMap<Victim, Tally> {
        let mut all = Vec::new();
        for victim in victims {
            let count = self.points(*victim).len();
            println!("{victim:?}: {count} points");
            all.extend((1..=count as u64).map(|at| (*victim, at)));
        }
        let chosen: Vec<(Victim, u64)> = match most {
            Some(most) if most < all.len() => (0..most).map(|n| all[(2 * n + 1) * all.len() / (2 * most)]).collect(),
            _ => all,
        };
        println!("{} kills, {side_by_side} at the same time", chosen.len());
        let (total, done) = (chosen.len(), Arc::new(AtomicUsize::new(0)));
        let mut tallies: BTreeMap<Victim, Tally> = BTreeMap::new();
        let queue = Arc::new(std::sync::Mutex::new(chosen.into_iter()));
        let workers: Vec<_> = (0..side_by_side)
            .map(|_| {
                let (matrix, queue, done) = (Arc::clone(self), Arc::clone(&queue), Arc::clone(&done));
                tokio::spawn(async move {
                    let mut tallies = Vec::new();
                    loop {
                        let next = queue.lock().unwrap().next();
                        let Some((victim, at)) = next else { return tallies };
                        tallies.push((victim, matrix.kill(victim, at).await));
                        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                        if done % 25 == 0 {
                            println!("{done} of {total}");
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            for (victim, tally) in worker.await.unwrap() {
                let sum = tallies.entry(victim).or_default();
                sum.killed += tally.killed;
                sum.not_reached += tally.not_reached;
                sum.littered += tally.littered;
                sum.leaks += tally.leaks;
            }
        }
        tallies
    }
}

/// Prints the table and sums it up.
pub fn table(tallies: &BTreeMap<Victim, Tally>) -> Tally {
    let mut sum = Tally::default();
    for (victim, tally) in tallies {
        println!(
            "{victim:?}: {} killed, {} ended before their point; left behind without `clean` (a list written at the end): {}; after `clean`: {}",
            tally.killed, tally.not_reached, tally.littered, tally.leaks
        );
        sum.killed += tally.killed;
        sum.not_reached += tally.not_reached;
        sum.littered += tally.littered;
        sum.leaks += tally.leaks;
    }
    println!("{} killed, {} would have left something with a list written at the end, {} have", sum.killed, sum.littered, sum.leaks);
    sum
}

/// Waits for a process without keeping the others from theirs: a runtime has one thread per core only.
fn ran(command: &mut Command) -> Output {
    tokio::task::block_in_place(|| command.output().unwrap())
}

fn was_killed(output: &Output) -> bool {
    output.status.signal() == Some(9)
}
