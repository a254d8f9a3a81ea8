//! Whether the time of a rejection depends on the credential.

use std::cmp::Ordering;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

/// Standard deviations from which two kinds of response differ: 3.29 are reached by chance once in 1000 comparisons.
const DEVIATIONS: f64 = 3.29;

/// The times of rejections of two kinds of signature.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TimingComparison {
    /// Samples of each kind.
    pub(super) samples: usize,
    /// Median in microseconds of the responses to a signature whose first character is wrong.
    pub(super) first_wrong_us: u128,
    /// Median in microseconds of the responses to a signature whose last character is wrong.
    pub(super) last_wrong_us: u128,
    /// Standard deviations between the two kinds in each half of the samples (Mann-Whitney U test); positive if the
    /// responses to the signature whose last character is wrong take longer.
    pub(super) deviations: [f64; 2],
}

impl TimingComparison {
    /// Compares samples that were taken in turn.
    pub(super) fn new(first_wrong: &[Duration], last_wrong: &[Duration]) -> Self {
        let samples = first_wrong.len().min(last_wrong.len());
        let halves = |times: &[Duration]| {
            let (early, late) = times.split_at(samples / 2);
            [early.to_vec(), late.to_vec()]
        };
        let (first, last) = (halves(first_wrong), halves(last_wrong));
        let [[first_early, first_late], [last_early, last_late]] = [first, last];
        Self {
            samples,
            first_wrong_us: median(first_wrong).as_micros(),
            last_wrong_us: median(last_wrong).as_micros(),
            deviations: [deviations(&first_early, &last_early), deviations(&first_late, &last_late)],
        }
    }

    /// Whether both halves show the same difference: by chance once in two million comparisons.
    pub(super) fn differs(&self) -> bool {
        let [early, late] = self.deviations;
        early.min(late) >= DEVIATIONS || early.max(late) <= -DEVIATIONS
    }

    /// The result in a sentence.
    pub(super) fn text(&self) -> String {
        let [early, late] = self.deviations;
        let verdict = if self.differs() { "both halves differ" } else { "no difference in both halves" };
        format!(
            "median {} µs if the first character is wrong, {} µs if the last one is; {} samples each, {verdict} at 99.9 % \
             (z {early:.1} and {late:.1}; a difference has 3.3 in both, with the same sign)",
            self.first_wrong_us, self.last_wrong_us, self.samples
        )
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The Mann-Whitney U statistic of the two samples in standard deviations from its mean (normal approximation, for
/// samples without a common distribution; ties are so rare in nanoseconds that they are not corrected for).
#[expect(clippy::cast_precision_loss, reason = "the numbers of samples are small")]
fn deviations(first: &[Duration], last: &[Duration]) -> f64 {
    let pairs = first.iter().flat_map(|one| last.iter().map(move |other| other.cmp(one)));
    let wins: f64 = pairs
        .map(|order| match order {
            Ordering::Greater => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Less => 0.0,
        })
        .sum();
    let (n, m) = (first.len() as f64, last.len() as f64);
    let spread = (n * m * (n + m + 1.0) / 12.0).sqrt();
    if spread > 0.0 { (wins - n * m / 2.0) / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples around `micros`, of which each hundredth is late.
    fn samples(micros: u64, seed: u64) -> Vec<Duration> {
        let mut state = seed;
        let mut next = move || {
            // Numerical Recipes, "quick and dirty" generator.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % (1 << 32);
            state >> 16
        };
        (0..400)
            .map(|_| Duration::from_micros(micros + next() % 100 + if next() % 100 == 0 { 5000 } else { 0 }))
            .collect()
    }

    #[test]
    fn a_difference_below_the_noise_of_one_request_is_found() {
        let comparison = TimingComparison::new(&samples(300, 1), &samples(330, 2));
        assert!(comparison.differs(), "{comparison:?}");
        assert!(comparison.deviations.iter().all(|deviations| *deviations > 0.0));
    }

    #[test]
    fn equal_kinds_do_not_differ() {
        for seed in 0..200 {
            let comparison = TimingComparison::new(&samples(300, seed), &samples(300, seed + 1000));
            assert!(!comparison.differs(), "{comparison:?}");
        }
    }

    #[test]
    fn a_difference_in_one_half_alone_does_not_count() {
        let (mut first, last) = (samples(300, 1), samples(300, 2));
        first.iter_mut().take(200).for_each(|time| *time *= 2);
        assert!(!TimingComparison::new(&first, &last).differs());
    }
}
