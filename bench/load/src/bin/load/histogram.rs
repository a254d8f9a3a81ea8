//! A histogram of latencies, with 64 steps per octave: an error of at most 1.6 %.

use std::time::Duration;

const STEPS: usize = 64;

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; STEPS * 40], total: 0 }
    }

    pub fn add(&mut self, latency: Duration) {
        let nanoseconds = (latency.as_nanos() as u64).max(STEPS as u64);
        let octave = nanoseconds.ilog2() as usize - 6;
        let step = (nanoseconds >> octave) as usize % STEPS;
        let last = self.counts.len() - 1;
        self.counts[(octave * STEPS + step).min(last)] += 1;
        self.total += 1;
    }

    /// The quantile in microseconds: the middle of its step.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                let (octave, step) = (index / STEPS, index % STEPS);
                return ((STEPS + step) as f64 + 0.5) * (1u64 << octave) as f64 / 1000.0;
            }
        }
        0.0
    }
}
