//! The same runs as in the lab, with a real kube-apiserver, etcd and kube-controller-manager in place of the lab's own.
//! The definitions are the real ones where there are any, otherwise those that the lab makes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

#[path = "../crash/matrix.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod matrix;
mod runs;
#[path = "../crash/sources.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod sources;
#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod support;
#[path = "../crash/traces.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod traces;

use std::process::ExitCode;

use mtv_testkit::{assets, async_cases, suite::Suite};

fn main() -> ExitCode {
    Suite::new()
        .with(
            assets::missing(&["etcd", "kube-apiserver", "kube-controller-manager"]),
            async_cases![
                runs::tier0_passes_and_leaves_nothing,
                runs::after_kill_9_during_the_migration_clean_leaves_nothing,
                runs::a_pod_that_asks_for_nothing_may_run_in_a_restricted_namespace,
                runs::a_lab_that_ends_leaves_no_dead_server_behind,
                runs::killed_at_points_of_every_kind_clean_leaves_nothing,
            ],
        )
        .run()
}
