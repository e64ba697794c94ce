//! The `process_*` metrics.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use rustix::time::{ClockId, clock_gettime};

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
        for family in &mut families {
            if family.name() == "process_cpu_seconds_total" {
                for metric in family.mut_metric() {
                    let mut counter = Counter::default();
                    counter.set_value(cpu_seconds());
                    metric.set_counter(counter);
                }
            }
        }
        families
    }
}

/// Returns the CPU time of all threads of this process, in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
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
        let spent = cpu_seconds();
        while cpu_seconds() - spent < 0.02 {}
        assert!((0.02..0.5).contains(&(cpu() - before)));
    }
}
