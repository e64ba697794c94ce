//! The usual metrics of the process itself.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use rustix::time::{ClockId, clock_gettime};

/// The library's process metrics, with one mended: it tells CPU time in whole seconds, of which
/// no rate over a few seconds can be made.
pub(super) struct Process(ProcessCollector);

impl Process {
    /// This process.
    pub(super) fn this() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for Process {
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

/// CPU time of all threads of this process, in seconds.
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
            let families = Process::this().collect();
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
