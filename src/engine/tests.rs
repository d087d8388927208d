//! A fake workload drives the engine: every verdict, side by side, interrupted at any moment.

use std::sync::{Arc, atomic::Ordering};

use proptest::prelude::*;

use super::{
    fake::{Act, Fake, drive, scenario},
    *,
};
use crate::{
    diagnosis::{Diagnosis, Id},
    events::{Event, Verdict, What},
    exit,
};

const STEPS: &[&str] = &["prepare", "migrate", "verify", "clean_up!"];

/// How each step ended: `scenario/step verdict`, skipped ones with the reason.
fn endings(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| {
            let place = format!("{}/{}", event.scenario.as_deref().unwrap_or("run"), event.step.as_deref().unwrap_or(""));
            match &event.what {
                What::StepFinished { verdict, trouble: None, .. } => Some(format!("{place} {verdict:?}")),
                What::StepFinished { verdict, trouble: Some(t), .. } => {
                    let details = if t.summary.contains("failed") || t.summary.contains("answer") { "" } else { &t.evidence.join("; ") };
                    Some(format!("{place} {verdict:?}: {} {details}", t.summary).trim_end().to_owned())
                }
                What::StepSkipped { reason } => Some(format!("{place} skipped {reason}")),
                _ => None,
            }
        })
        .collect()
}

async fn one(act: Act) -> (Outcome, Vec<String>) {
    let fake = Arc::new(Fake::new([((0, 1), act)]));
    let (outcome, events) = drive(&fake, vec![scenario("a", STEPS)], Options::default(), &[]).await;
    (outcome, endings(&events))
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_pass_skips_the_later_ones_but_not_the_clean_up() {
    for (act, told, exit) in [
        (Act::Fail, "Failed: 2 checks of VM vm-1 failed", exit::FAILED),
        (Act::Error, "Errored: the source does not answer", exit::ENVIRONMENT),
        (Act::Panic, "Errored: internal error: panic: index out of bounds last seen: doing Panic", exit::INTERNAL),
        (
            Act::Lie,
            "Errored: internal error: the step says that it was interrupted, but nobody interrupted it last seen: doing Lie",
            exit::INTERNAL,
        ),
        (Act::Deaf, "Failed: not done within 1m00s last seen: doing Deaf", exit::FAILED),
        (Act::Hang, "Failed: not done within 1m00s last seen: doing Hang", exit::FAILED),
    ] {
        let (outcome, endings) = one(act).await;
        assert_eq!(
            endings,
            [
                "run/set_up Passed",
                "a/prepare Passed",
                &format!("a/migrate {told}"),
                "a/verify skipped because migrate failed",
                "a/clean_up Passed",
                "run/tear_down Passed",
            ],
            "{act:?}"
        );
        assert_eq!(outcome.exit(), exit, "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_ends_at_its_deadline_explains_itself() {
    let (outcome, endings) = one(Act::Late).await;
    assert!(endings[2].starts_with("a/migrate Failed: Plan x was not Ready within its limit"), "{endings:?}");
    assert_eq!(outcome.exit(), exit::FAILED);
}

#[tokio::test(start_paused = true)]
async fn everything_passes() {
    let (outcome, endings) = one(Act::Pass(5)).await;
    assert!(endings.iter().all(|e| e.ends_with("Passed")), "{endings:?}");
    assert_eq!((outcome.exit(), outcome.scenarios.passed, outcome.steps.passed), (exit::PASSED, 1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_failure_harms_no_other_scenario() {
    let fake = Arc::new(Fake::new([((0, 0), Act::Panic), ((1, 1), Act::Fail), ((2, 0), Act::Pass(3))]));
    let scenarios = vec![scenario("a", STEPS), scenario("b", STEPS), scenario("c", STEPS)];
    let (outcome, _) = drive(&fake, scenarios, Options::default(), &[]).await;
    assert_eq!((outcome.scenarios.errored, outcome.scenarios.failed, outcome.scenarios.passed), (1, 1, 1));
    assert_eq!(outcome.internal, ["a prepare: panic: index out of bounds"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_jobs_run_at_the_same_time() {
    for jobs in [1, 3] {
        let fake = Arc::new(Fake::new((0..9).map(|s| ((s, 0), Act::Pass(s as u64 + 1)))));
        let scenarios = (0..9).map(|n| scenario(&format!("s{n}"), &["wait"])).collect();
        let (outcome, _) = drive(&fake, scenarios, Options { jobs, ..Options::default() }, &[]).await;
        assert_eq!((fake.most.load(Ordering::SeqCst), outcome.scenarios.passed), (jobs, 9));
    }
}

#[tokio::test(start_paused = true)]
async fn without_set_up_nothing_runs_but_the_teardown() {
    for (act, exit, reason) in [
        (Act::Error, exit::ENVIRONMENT, "set-up did not succeed: the source does not answer"),
        (Act::Fail, exit::FAILED, "set-up did not succeed: 2 checks of VM vm-1 failed"),
        (Act::Deaf, exit::ENVIRONMENT, "set-up did not succeed: not done within 30m00s"),
        (Act::Panic, exit::INTERNAL, "set-up did not succeed: internal error: panic: index out of bounds"),
    ] {
        let fake = Arc::new(Fake { set_up: act, ..Fake::new([]) });
        let (outcome, events) = drive(&fake, vec![scenario("a", &["x", "clean_up!"])], Options::default(), &[]).await;
        let endings = endings(&events);
        assert_eq!(endings[1..], [format!("a/x skipped {reason}"), format!("a/clean_up skipped {reason}"), "run/tear_down Passed".into()]);
        assert_eq!(outcome.exit(), exit, "{act:?}");
        assert!(fake.called.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_shows_in_code_and_events() {
    let left = vec![Leftover { object: "Plan mig/x".into(), reason: "finalizer".into() }];
    for (act, left, verdict) in
        [(Act::Pass(0), left, Verdict::Failed), (Act::Error, vec![], Verdict::Errored), (Act::Deaf, vec![], Verdict::Errored)]
    {
        let fake = Arc::new(Fake { tear_down: act, left: left.clone(), ..Fake::new([]) });
        let (outcome, events) = drive(&fake, vec![scenario("a", STEPS)], Options::default(), &[]).await;
        assert_eq!((outcome.exit(), outcome.tear_down), (exit::LEFT_BEHIND, Some(verdict)), "{act:?}");
        assert_eq!(events.iter().filter(|e| matches!(e.what, What::LeftBehind { .. })).count(), left.len());
    }
}

#[tokio::test(start_paused = true)]
async fn with_skip_teardown_nothing_is_cleaned() {
    let fake = Arc::new(Fake::new([]));
    let options = Options { skip_teardown: true, ..Options::default() };
    let (outcome, events) = drive(&fake, vec![scenario("a", &["x", "clean_up!"])], options, &[]).await;
    let off = "skipped the teardown is switched off";
    assert_eq!(endings(&events), ["run/set_up Passed", "a/x Passed", &format!("a/clean_up {off}"), &format!("run/tear_down {off}")]);
    assert_eq!(outcome.exit(), exit::PASSED);
}

#[tokio::test(start_paused = true)]
async fn scenarios_with_a_reason_are_skipped_and_need_no_set_up() {
    let fake = Arc::new(Fake::new([]));
    let skipped = PlannedRun { closed: Some(Closed::Skip("needs ovirt".into())), ..scenario("a", &["x", "x"]) };
    let (outcome, events) = drive(&fake, vec![skipped], Options::default(), &[]).await;
    let not_needed = "skipped not needed: no scenario could run";
    let (set_up, tear_down) = (format!("run/set_up {not_needed}"), format!("run/tear_down {not_needed}"));
    assert_eq!(endings(&events), [set_up.as_str(), "a/x skipped needs ovirt", "a/x-2 skipped needs ovirt", tear_down.as_str()]);
    assert_eq!((outcome.exit(), outcome.scenarios.skipped), (exit::NOTHING_RAN, 1));
    let skipped = PlannedRun { closed: Some(Closed::Skip("needs ovirt".into())), ..scenario("a", &["x"]) };
    let (outcome, _) = drive(&fake, vec![skipped], Options { allow_all_skipped: true, ..Options::default() }, &[]).await;
    assert_eq!(outcome.exit(), exit::PASSED);
    let (outcome, _) = drive(&fake, vec![], Options::default(), &[]).await;
    assert_eq!(outcome.exit(), exit::NOTHING_SELECTED);
}

#[tokio::test(start_paused = true)]
async fn a_scenario_that_lacks_something_is_in_error_and_stops_no_other() {
    let fake = Arc::new(Fake::new([]));
    let missing = Closed::Error(Diagnosis::new(Id::ScenarioRequirementMissing, "the profile has no `storage_password`"));
    let lacking = PlannedRun { closed: Some(missing), ..scenario("a", &["x", "y", "clean_up!"]) };
    let (outcome, events) = drive(&fake, vec![lacking, scenario("b", &["x"])], Options::default(), &[]).await;
    let told = endings(&events);
    assert!(told.contains(&"a/x Errored: the profile has no `storage_password`".to_owned()), "{told:?}");
    assert!(told.contains(&"a/clean_up skipped because something that the scenario needs is missing".to_owned()), "{told:?}");
    assert_eq!((outcome.exit(), outcome.scenarios.errored, outcome.scenarios.passed), (exit::ENVIRONMENT, 1, 1));
    assert_eq!(*fake.called.lock().unwrap(), [(1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn with_skip_teardown_a_failure_is_collected_of() {
    let options = Options { skip_teardown: true, jobs: 1, ..Options::default() };
    let fake = Arc::new(Fake::new([((0, 0), Act::Fail), ((2, 0), Act::Error)]));
    let scenarios = ["a", "b", "c"].map(|name| scenario(name, &["x", "clean_up!"])).into();
    let _done = drive(&fake, scenarios, options, &[]).await;
    assert_eq!(*fake.collected.lock().unwrap(), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_scenario_and_run_hold() {
    let fake = Arc::new(Fake::new([((0, 0), Act::Pass(50)), ((0, 1), Act::Deaf)]));
    let options = Options { jobs: 1, scenario_limit: Duration::from_secs(70), run_limit: Duration::from_secs(71), ..Options::default() };
    let scenarios = vec![scenario("a", STEPS), scenario("b", &["x"])];
    let (outcome, events) = drive(&fake, scenarios, options, &[]).await;
    let told = endings(&events);
    assert_eq!(told[2], "a/migrate Failed: not done after 22.0s, when the time for the whole scenario or run was up last seen: doing Deaf");
    assert_eq!(told[4], "a/clean_up Passed");
    assert_eq!(told[5], "b/x skipped the run's time of 1m11s was up before it could start");
    assert!(outcome.out_of_time);
    assert_eq!(outcome.exit(), exit::FAILED);
}

#[tokio::test(start_paused = true)]
async fn the_ladder_first_tears_down_then_leaves_things_then_goes() {
    let acts = || [((0, 1), Act::Deaf), ((0, 3), Act::Deaf), ((1, 1), Act::Hang)];
    let scenarios = || vec![scenario("a", STEPS), scenario("b", STEPS), scenario("c", STEPS)];
    let options = Options { jobs: 2, ..Options::default() };
    let stages = |events: &[Event]| events.iter().filter(|e| matches!(e.what, What::CancelBegun { .. })).count();
    let stopped = "skipped the run was interrupted";

    let fake = Arc::new(Fake { tear_down: Act::Pass(9), ..Fake::new([((0, 1), Act::Deaf), ((1, 1), Act::Hang)]) });
    let (outcome, events) = drive(&fake, scenarios(), options.clone(), &[1000]).await;
    let told = endings(&events);
    assert!(told.contains(&"a/migrate Interrupted: interrupted last seen: doing Deaf".to_owned()), "{told:#?}");
    assert!(told.contains(&"b/migrate Interrupted: interrupted last seen: doing Hang".to_owned()), "{told:#?}");
    assert!(told.contains(&format!("b/verify {stopped}")) && told.contains(&"b/clean_up Passed".to_owned()), "{told:#?}");
    assert!(told.contains(&format!("c/clean_up {stopped}")), "{told:#?}");
    assert_eq!(told.last().unwrap(), "run/tear_down Passed");
    assert_eq!((outcome.exit(), outcome.scenarios.interrupted, outcome.scenarios.skipped, stages(&events)), (exit::INTERRUPTED, 2, 1, 1));

    let fake = Arc::new(Fake { tear_down: Act::Deaf, ..Fake::new([]) });
    let (outcome, events) = drive(&fake, scenarios(), options.clone(), &[1000, 1000]).await;
    assert_eq!(endings(&events).last().unwrap(), "run/tear_down Interrupted: interrupted last seen: doing Deaf");
    assert_eq!((outcome.exit(), outcome.interrupts, stages(&events)), (exit::INTERRUPTED, 2, 2));

    // Three signals at once are one, however they came about.
    let fake = Arc::new(Fake { tear_down: Act::Pass(9), ..Fake::new([((0, 1), Act::Hang)]) });
    let (outcome, events) = drive(&fake, scenarios(), options.clone(), &[1000, 1, 500]).await;
    assert_eq!(endings(&events).last().unwrap(), "run/tear_down Passed");
    assert_eq!((outcome.exit(), outcome.interrupts, stages(&events)), (exit::INTERRUPTED, 1, 1));

    let fake = Arc::new(Fake::new(acts()));
    let (outcome, events) = drive(&fake, scenarios(), options, &[1000, 2000, 1000]).await;
    assert_eq!(endings(&events).last().unwrap(), "run/tear_down skipped interrupted twice");
    assert_eq!((outcome.exit(), outcome.interrupts, stages(&events)), (exit::INTERRUPTED, 3, 3));
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..20_u64).prop_map(Act::Pass),
        1 => Just(Act::Fail),
        1 => Just(Act::Error),
        1 => Just(Act::Panic),
        1 => Just(Act::Hang),
        1 => Just(Act::Deaf),
        1 => Just(Act::Late),
    ]
}

/// Checks what must hold for every run, whatever happens in it.
fn check(scenarios: &[PlannedRun], fake: &Fake, options: &Options, outcome: &Outcome, events: &[Event]) {
    let terminal = |event: &&Event| matches!(event.what, What::StepFinished { .. } | What::StepSkipped { .. });
    let of = |scenario: Option<&str>, step: &str| {
        events.iter().filter(|e| e.scenario.as_deref() == scenario && e.step.as_deref() == Some(step)).collect::<Vec<_>>()
    };
    assert!(outcome.scenarios.balanced() && outcome.steps.balanced(), "{outcome:?}");
    assert!(fake.most.load(Ordering::SeqCst) <= options.jobs);
    let cancelled = events.iter().position(|e| matches!(e.what, What::CancelBegun { .. }));
    let last_step = events.iter().rposition(|e| e.scenario.is_some() && terminal(&e));
    for scenario in scenarios {
        let ended = events.iter().filter(|e| e.scenario.as_ref() == Some(&scenario.name));
        assert_eq!(ended.filter(|e| matches!(e.what, What::ScenarioFinished { .. })).count(), 1, "{}", scenario.name);
        let mut failed = false;
        for (step, name) in scenario.steps.iter().zip(step_names(scenario)) {
            let told = of(Some(&scenario.name), &name);
            assert_eq!(told.iter().copied().filter(terminal).count(), 1, "{} {name} ends once", scenario.name);
            let started = told.iter().any(|e| matches!(e.what, What::StepStarted));
            assert!(!(failed && started && !step.always), "{} {name} ran after a failure", scenario.name);
            failed |= told.iter().any(|e| matches!(e.what, What::StepFinished { verdict, .. } if verdict != Verdict::Passed));
        }
    }
    if let Some(cancelled) = cancelled {
        for event in &events[cancelled..] {
            if let (What::StepStarted, Some(name)) = (&event.what, &event.step) {
                assert!(name.starts_with("clean_up") || name == TEAR_DOWN, "{name} started after the interrupt");
            }
        }
        assert_eq!(outcome.exit(), if outcome.internal.is_empty() { exit::INTERRUPTED } else { exit::INTERNAL });
    }
    let runnable = scenarios.iter().any(|s| s.closed.is_none());
    assert_eq!(of(None, TEAR_DOWN).iter().copied().filter(terminal).count(), 1);
    let torn_down = events.iter().position(|e| e.step.as_deref() == Some(TEAR_DOWN));
    assert!(torn_down.is_none() || torn_down > last_step, "the teardown comes last");
    if runnable && outcome.interrupts < 2 && !options.skip_teardown {
        assert!(of(None, TEAR_DOWN).iter().any(|e| matches!(e.what, What::StepStarted)), "the teardown runs");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_happens_the_ledger_balances_and_every_report_is_whole(
        graph in proptest::collection::vec((proptest::collection::vec(acts(), 0..6), any::<bool>(), 0..8_u8), 0..12),
        set_up in prop_oneof![5 => Just(Act::Pass(1)), 1 => acts()],
        tear_down in prop_oneof![5 => Just(Act::Pass(1)), 1 => acts()],
        jobs in 1..5_usize,
        skip_teardown in proptest::bool::weighted(0.1),
        run_limit in prop_oneof![4 => Just(100_000), 1 => 1..200_u64],
        interrupts in proptest::collection::vec(0..40_000_u64, 0..4),
    ) {
        let mut scenarios = Vec::new();
        let mut steps = Vec::new();
        for (index, (acts, cleans, skip)) in graph.iter().enumerate() {
            let mut names: Vec<&'static str> = acts.iter().enumerate().map(|(n, _)| STEPS[n % 3]).collect();
            names.extend(cleans.then_some("clean_up!"));
            let closed = match skip {
                0 => Some(Closed::Skip("a reason".to_owned())),
                1 => Some(Closed::Error(Diagnosis::new(Id::ScenarioRequirementMissing, "something is missing"))),
                _ => None,
            };
            scenarios.push(PlannedRun { closed, ..scenario(&format!("s{index}"), &names) });
            steps.extend(acts.iter().enumerate().map(|(n, act)| ((index, n), *act)));
        }
        let fake = Arc::new(Fake { set_up, tear_down, ..Fake::new(steps) });
        let options = Options { jobs, skip_teardown, run_limit: Duration::from_secs(run_limit), ..Options::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (outcome, events) = runtime.block_on(drive(&fake, scenarios.clone(), options.clone(), &interrupts));
        check(&scenarios, &fake, &options, &outcome, &events);
        crate::report::tests::every_prefix_is_valid(&events, 31);
    }
}
