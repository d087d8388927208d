//! Kills a process at a point, cleans up after it, and sees what is left.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt as _, stream};

use crate::{
    support::{Lab, binary, told},
    traces::{Eyes, only_run},
};

/// What a process that is killed does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// A run of the cold scenario from vSphere.
    Cold,
    /// A run of the warm scenario.
    Warm,
    /// The cold scenario from oVirt.
    Ovirt,
    /// From OpenStack.
    Openstack,
    /// From OpenShift, where the source VMs are made of a boot source.
    Openshift,
    /// From an ESXi host, whose vCenter clones.
    Esxi,
    /// From another OpenShift, where the source VMs are made as they are on the cluster of the run.
    Another,
    /// From OVA files, which nothing is made of on the source.
    Ova,
    /// Copies by the storage array, with MTV's SSH key in the ESXi host.
    Offload,
    /// A namespace for the migrated VMs, networks in a shared namespace, and a label on a node.
    Placed,
    /// `must-gather` of everything.
    Gather,
}

impl Job {
    /// Scenario and profile of its run.
    const fn run(self) -> (&'static str, &'static str) {
        match self {
            Self::Cold => ("sanity-cold", "vsphere"),
            Self::Warm => ("sanity-warm", "vsphere"),
            Self::Ovirt => ("sanity-cold", "ovirt"),
            Self::Openstack => ("sanity-cold", "openstack"),
            Self::Openshift => ("sanity-cold", "openshift"),
            Self::Esxi => ("sanity-cold", "vsphere-esxi"),
            Self::Another => ("sanity-cold", "openshift-remote"),
            Self::Ova => ("sanity-cold", "ova"),
            Self::Offload => ("copyoffload-thin", "vsphere"),
            Self::Placed => ("comprehensive-cold", "vsphere"),
            Self::Gather => ("", ""),
        }
    }
}

/// Which process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// One that makes something.
    Run(Job),
    /// `clean` after such a one that was killed in the middle.
    Clean(Job),
}

impl Victim {
    /// All.
    pub const ALL: [Self; 17] = [
        Self::Run(Job::Cold),
        Self::Run(Job::Warm),
        Self::Run(Job::Ovirt),
        Self::Run(Job::Openstack),
        Self::Run(Job::Openshift),
        Self::Run(Job::Esxi),
        Self::Run(Job::Another),
        Self::Run(Job::Ova),
        Self::Run(Job::Offload),
        Self::Run(Job::Placed),
        Self::Run(Job::Gather),
        Self::Clean(Job::Cold),
        Self::Clean(Job::Ovirt),
        Self::Clean(Job::Openstack),
        Self::Clean(Job::Esxi),
        Self::Clean(Job::Another),
        Self::Clean(Job::Offload),
    ];

    const fn job(self) -> Job {
        match self {
            Self::Run(job) | Self::Clean(job) => job,
        }
    }
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
    /// Points at which a run is killed before `clean` is.
    middles: Mutex<BTreeMap<Job, u64>>,
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
        Self { lab, eyes, numbers: AtomicUsize::new(0), middles: Mutex::default() }
    }

    /// The point in the middle of a run: the Migration runs then, the clone is made, and Forklift has begun to make things of its own.
    fn middle(&self, job: Job) -> u64 {
        if let Some(middle) = self.middles.lock().unwrap().get(&job) {
            return *middle;
        }
        let points = self.points(Victim::Run(job));
        let migration = points.iter().rposition(|name| name == "create").unwrap();
        let middle = u64::try_from((migration + 12).min(points.len() - 1)).unwrap();
        *self.middles.lock().unwrap().entry(job).or_insert(middle)
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

    fn run(&self, job: Job, results: &Path) -> Command {
        let (scenario, profile) = job.run();
        let mut command = if job == Job::Gather {
            self.command(&["must-gather"])
        } else {
            self.command(&["run", scenario, "--provider", profile, "--set", "cutover_delay=20s"])
        };
        command.arg("--set").arg(format!("results_dir={}", results.display()));
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
            Victim::Run(job) => self.run(job, &folder.join("results")),
            Victim::Clean(job) => self.clean(&self.killed_run(job, &folder)),
        };
        let output = ran(command.env("MTV_TEST_KILL_LOG", &log));
        assert!(output.status.success(), "{}", told(&output));
        let text = fs::read_to_string(log).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// A run that was killed in the middle; its journal.
    fn killed_run(&self, job: Job, folder: &Path) -> PathBuf {
        let results = folder.join("before");
        let output = ran(self.run(job, &results).env("MTV_TEST_KILL_AT", self.middle(job).to_string()));
        assert!(was_killed(&output), "the run before was not killed: {}", told(&output));
        only_run(&results).unwrap().0.join("resources.json")
    }

    /// Kills a process at a point and cleans up.
    pub async fn kill(&self, victim: Victim, at: u64) -> Tally {
        let folder = self.folder();
        let (mut command, results) = match victim {
            Victim::Run(job) => (self.run(job, &folder.join("results")), folder.join("results")),
            Victim::Clean(job) => (self.clean(&self.killed_run(job, &folder)), folder.join("before")),
        };
        let output = ran(command.env("MTV_TEST_KILL_AT", at.to_string()));
        let killed = was_killed(&output);
        assert!(killed || output.status.success(), "{victim:?} {at}: {}", told(&output));
        let mut tally = Tally { killed: usize::from(killed), not_reached: usize::from(!killed), ..Tally::default() };
        let Some((folder, run)) = only_run(&results) else { return tally };
        let journal = folder.join("resources.json");
        tally.littered = usize::from(killed && !self.traces(&run, &journal).await.is_empty());
        if journal.is_file() {
            let clean = ran(&mut self.clean(&journal));
            if !clean.status.success() {
                println!("{victim:?} {at}: clean ended with {}", told(&clean));
                tally.leaks = 1;
            }
        }
        let left = self.traces(&run, &journal).await;
        if !left.is_empty() {
            println!("{victim:?} {at}: run {run} has left {left:?}");
            tally.leaks = 1;
        }
        if tally.leaks == 0 {
            let _ = fs::remove_dir_all(results.parent().unwrap());
        }
        tally
    }

    async fn traces(&self, run: &str, journal: &Path) -> Vec<String> {
        let (mut traces, keys) = tokio::join!(self.eyes.traces(run), self.eyes.keys_of(journal));
        traces.extend(keys);
        traces
    }

    /// Names of the points of all victims, several at the same time: each is a whole run.
    async fn all_points(self: &Arc<Self>, victims: &[Victim], side_by_side: usize) -> Vec<Vec<String>> {
        // Those whose `clean` is killed first: it needs the middle of their run.
        let jobs: Vec<Job> = victims.iter().filter(|victim| matches!(victim, Victim::Clean(_))).map(|victim| victim.job()).collect();
        let each = |matrix: Arc<Self>, job| tokio::spawn(async move { matrix.middle(job) });
        stream::iter(jobs)
            .map(|job| each(Arc::clone(self), job))
            .buffered(side_by_side)
            .for_each(|done| async move { assert!(done.unwrap() > 0) })
            .await;
        let each = |matrix: Arc<Self>, victim| tokio::spawn(async move { matrix.points(victim) });
        let found = stream::iter(victims.to_vec()).map(|victim| each(Arc::clone(self), victim)).buffered(side_by_side);
        found.map(Result::unwrap).collect().await
    }

    /// Kills at all points of the victims, or at so many of them, evenly spread; several at the same time.
    pub async fn carry_out(self: &Arc<Self>, victims: &[Victim], most: Option<usize>, side_by_side: usize) -> BTreeMap<Victim, Tally> {
        let mut all = Vec::new();
        for (victim, points) in victims.iter().zip(self.all_points(victims, side_by_side).await) {
            println!("{victim:?}: {} points", points.len());
            all.extend((1..=points.len() as u64).map(|at| (*victim, at)));
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
