//! Columns of a table that compare latencies by formula with measured ones.

use super::load::LoadResult;
use super::report::{Column, Unit};

/// Quantiles of the latency that are compared, with their names.
pub(super) const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

/// Returns two columns for each quantile.
pub(super) fn latency_columns() -> impl Iterator<Item = Column> {
    let names = QUANTILES
        .into_iter()
        .flat_map(|(name, _)| ["formula", "measured"].map(|source| format!("{name}, {source}")));
    names.map(|name| Column::new(name, Unit::Seconds))
}

/// Returns the numbers of these columns for a load. `formula` returns the latency in seconds at a quantile.
pub(super) fn latency_cells(
    formula: impl Fn(f64) -> f64,
    result: &LoadResult,
) -> impl Iterator<Item = f64> {
    QUANTILES
        .into_iter()
        .flat_map(move |(_, quantile)| [formula(quantile), result.latency(quantile)])
}
