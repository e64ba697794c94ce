//! A histogram of times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::accounting::Nanos;

/// Upper bounds of the buckets, ascending.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) seconds: Box<[f64]>,
    /// The same in nanoseconds, to compare without conversion.
    nanoseconds: Box<[u64]>,
}

/// The bounds of buckets are not ascending numbers of seconds above 0.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidBounds {
    bound: f64,
}

impl std::fmt::Display for InvalidBounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bound } = self;
        write!(
            f,
            "the bounds of buckets have to be ascending numbers of seconds above 0; {bound} is not, or is not \
             above the one before it"
        )
    }
}

impl std::error::Error for InvalidBounds {}

impl Bounds {
    /// # Errors
    ///
    /// Returns an error if the seconds are not above 0, finite and ascending.
    pub(super) fn new(seconds: &[f64]) -> Result<Self, InvalidBounds> {
        let mut last = 0.0;
        for &bound in seconds {
            // Not `<=`, which would let NaN pass.
            if !(bound > last && bound.is_finite()) {
                return Err(InvalidBounds { bound });
            }
            last = bound;
        }
        Ok(Self::of_ascending(seconds))
    }

    /// Takes seconds that are ascending.
    pub(super) fn of_ascending(seconds: &[f64]) -> Self {
        Self {
            seconds: seconds.into(),
            // A bound beyond 584 years is above every time.
            nanoseconds: seconds.iter().map(|bound| (bound * 1e9) as u64).collect(),
        }
    }
}

/// Counts of times by bucket, shared by its clones. Threads add to it without a lock.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    /// The sum of all times in nanoseconds, then a bucket for each bound, and one for longer times. In one block of
    /// memory, so that a short time finds its bucket beside the sum.
    cells: Arc<[AtomicU64]>,
}

/// Counts of a histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HistogramCounts {
    /// Number of times up to each bound, shorter ones included.
    pub(super) cumulative: Vec<u64>,
    /// Number of all times.
    pub(super) count: u64,
    /// Their sum in seconds.
    pub(super) sum: f64,
}

impl Histogram {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let cells = bounds.seconds.len() + 2;
        Self {
            cells: (0..cells).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts a time. `bounds` are those with which the histogram was made.
    pub(super) fn add(&self, bounds: &Bounds, time: Nanos) {
        let time = time.as_nanos();
        let [sum, buckets @ ..] = &*self.cells else {
            return;
        };
        // From the first bound on: for a short request, in which the search would be felt, it ends at once.
        let bounds = bounds.nanoseconds.iter();
        let bucket = bounds.take_while(|bound| **bound < time).count();
        if let Some(bucket) = buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(time, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> HistogramCounts {
        let mut cells = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        let sum = Nanos::from_nanos(cells.next().unwrap_or_default());
        let mut count = 0;
        let mut cumulative: Vec<u64> = cells
            .map(|bucket| {
                count += bucket;
                count
            })
            .collect();
        // Of the bucket without a bound, which is the count.
        cumulative.pop();
        HistogramCounts {
            cumulative,
            count,
            sum: sum.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_that_it_fits() {
        let bounds = Bounds::new(&[0.001, 0.5, 2.0]).unwrap();
        let histogram = Histogram::new(&bounds);
        for microseconds in [0, 1_000, 1_001, 499_999, 3_000_000] {
            histogram.add(&bounds, Nanos::from_micros(microseconds));
        }
        let counts = histogram.read();
        assert_eq!(counts.cumulative, [2, 4, 4]);
        assert_eq!(counts.count, 5);
        assert!((counts.sum - 3.502).abs() < 1e-9, "{}", counts.sum);
    }

    #[test]
    fn bounds_have_to_ascend() {
        for bad in [
            &[0.0][..],
            &[-1.0],
            &[1.0, 1.0],
            &[2.0, 1.0],
            &[f64::NAN],
            &[f64::INFINITY],
        ] {
            let error = Bounds::new(bad).unwrap_err().to_string();
            assert!(error.contains(&bad[bad.len() - 1].to_string()), "{error}");
        }
        assert!(Bounds::new(&[]).is_ok());
    }
}
