//! The `process_*` metrics.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};

use crate::accounting::process_cpu_seconds;

/// The process metrics of the `prometheus` crate, with one corrected: the crate reports CPU time in
/// whole seconds, which is too coarse for a rate over a few seconds.
pub(super) struct ProcessMetrics(ProcessCollector);

impl ProcessMetrics {
    /// Creates the collector for this process.
    pub(super) fn for_self() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        // Where its clock is denied, the whole seconds are better than none.
        let Some(seconds) = process_cpu_seconds() else {
            return families;
        };
        for family in &mut families {
            if family.name() == "process_cpu_seconds_total" {
                for metric in family.mut_metric() {
                    let mut counter = Counter::default();
                    counter.set_value(seconds);
                    metric.set_counter(counter);
                }
            }
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_has_fractions_of_a_second() {
        let cpu = || {
            let families = ProcessMetrics::for_self().collect();
            let mut named = families
                .iter()
                .filter(|f| f.name() == "process_cpu_seconds_total");
            named.next().unwrap().get_metric()[0]
                .get_counter()
                .get_value()
        };
        let before = cpu();
        let spent = process_cpu_seconds().unwrap();
        while process_cpu_seconds().unwrap() - spent < 0.02 {}
        assert!((0.02..0.5).contains(&(cpu() - before)));
    }
}
