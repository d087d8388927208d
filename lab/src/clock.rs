//! Time in the lab: every wait of a simulator is divided by one scale, timestamps stay those of the real clock.

use std::time::Duration;

use jiff::Timestamp;

/// Scales waits.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    scale: f64,
}

impl Clock {
    /// `scale` 1 is real time, 60 makes a minute a second. Values that are no positive number count as 1.
    pub fn new(scale: f64) -> Self {
        Self { scale: if scale.is_finite() && scale > 0.0 { scale } else { 1.0 } }
    }

    /// How long a wait of the real system lasts here; at least a millisecond, so that no loop spins.
    pub fn scaled(self, real: Duration) -> Duration {
        real.div_f64(self.scale).max(Duration::from_millis(1))
    }

    /// Waits as long as the real system would, scaled.
    pub async fn sleep(self, real: Duration) {
        tokio::time::sleep(self.scaled(real)).await;
    }

    /// How long to wait from `seen` until the moment that a client named, scaled: a cutover five minutes ahead
    /// comes five scaled minutes after it was first seen. Zero for moments in the past.
    pub fn until(self, moment: Timestamp, seen: Timestamp) -> Duration {
        let ahead = moment.duration_since(seen);
        Duration::try_from(ahead).map_or(Duration::ZERO, |ahead| ahead.div_f64(self.scale))
    }

    /// The moment, for people and for comparisons: the wall clock, moved by as much as a test moved the runtime's clock.
    /// Waits and moments so pass together, and a test may run hours in a second.
    pub fn moment(self) -> Timestamp {
        let (runtime, wall) = (tokio::time::Instant::now().into_std(), std::time::Instant::now());
        // Outside of tests the two are the same but for the nanoseconds between the calls above.
        let (ahead, behind) = (runtime.saturating_duration_since(wall), wall.saturating_duration_since(runtime));
        let now = Timestamp::now();
        if behind > Duration::from_millis(1) { now.saturating_sub(behind) } else { now.saturating_add(ahead) }.unwrap_or(now)
    }

    /// Now, as Kubernetes writes it: RFC 3339, UTC, whole seconds.
    pub fn now(self) -> String {
        self.moment().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}
