//! The page `/metrics`, which is written piece by piece.

use std::collections::VecDeque;
use std::mem;

use super::collector::{Family, Labels, Sample, Value};
use super::list::{Metric, THREAD};
use super::server_metrics::Metrics;
use super::text::{ThreadLines, write_header, write_histogram, write_line};

/// Metrics of any number of servers at one moment, as text that is written piece by piece.
///
/// The lines of 1,000 threads have 1.8 MB. In pieces they take less memory, and the client receives one while the next
/// one is written. Everything is read before the first piece.
pub(super) struct Page {
    samples: Vec<Sample>,
    /// The lines of threads that are not written yet, in the order of the page.
    blocks: VecDeque<Block>,
    /// Metric whose header was written last.
    headed: Option<Family>,
    /// The text after the lines of threads.
    rest: String,
}

/// Lines of one metric of the threads of one server.
struct Block {
    family: Family,
    /// Index of the server.
    server: usize,
    /// `None` for the metric that does not have [`Family::columns`].
    lines: Option<ThreadLines>,
    /// Index of the next thread among those of the server.
    next: usize,
}

impl Page {
    /// Reads the metrics of these servers.
    pub(super) fn of(servers: &[Metrics]) -> Self {
        /// Bytes of the metrics of a server and of the process, roughly.
        const OF_SERVER: usize = 40 * 1024;

        let samples: Vec<_> = servers.iter().map(Metrics::sample).collect();
        let mut blocks = VecDeque::new();
        let mut rest = String::with_capacity(servers.len() * OF_SERVER);
        for family in Family::ALL {
            let shown = servers.iter().zip(&samples).enumerate();
            let shown = shown.filter(|(_, (server, _))| server.has(family));
            let shown = shown.map(|(index, (_, sample))| (index, sample));
            if family.is_of_threads() {
                blocks.extend(shown.map(|(index, sample)| Block::new(family, index, sample)));
            } else {
                write_family(&mut rest, family, shown.map(|(_, sample)| sample));
            }
        }
        Self {
            samples,
            blocks,
            headed: None,
            rest,
        }
    }

    /// Appends the text of a metric that has one series.
    pub(super) fn append_metric(&mut self, metric: &Metric, value: f64) {
        write_header(&mut self.rest, metric);
        write_line(&mut self.rest, metric.name, &[], value);
    }

    /// The text after the metrics of threads, to which others can be appended.
    pub(super) fn rest(&mut self) -> &mut String {
        &mut self.rest
    }

    /// Writes on until `text` has about so many bytes: the lines of the last thread may exceed them, and so may the
    /// text after the threads if there is nothing else. Returns whether there is more.
    pub(super) fn write(&mut self, text: &mut String, bytes: usize) -> bool {
        while let Some(block) = self.blocks.front_mut() {
            if text.len() >= bytes {
                return true;
            }
            if !block.write(&self.samples, text, &mut self.headed) {
                self.blocks.pop_front();
            }
        }
        if text.is_empty() {
            mem::swap(text, &mut self.rest);
        } else if text.len().saturating_add(self.rest.len()) <= bytes {
            text.push_str(&mem::take(&mut self.rest));
        }
        !self.rest.is_empty()
    }

    /// Bytes of the text, roughly; while nothing is written.
    pub(super) fn size(&self) -> usize {
        const OF_THREAD: usize = 2 * 1024;

        let threads: usize = self
            .samples
            .iter()
            .map(|sample| sample.threads().len())
            .sum();
        threads * OF_THREAD + self.rest.len()
    }

    /// Returns the whole text.
    pub(super) fn into_text(mut self) -> String {
        let mut text = String::with_capacity(self.size());
        self.write(&mut text, usize::MAX);
        text
    }
}

impl Block {
    fn new(family: Family, server: usize, sample: &Sample) -> Self {
        let (name, columns) = (family.metric().name, family.columns());
        let lines = columns.map(|last| ThreadLines::new(name, &[sample.server()], THREAD, &last));
        Self {
            family,
            server,
            lines,
            next: 0,
        }
    }

    /// Writes the lines of the next thread. Returns false if there is none.
    fn write(
        &mut self,
        samples: &[Sample],
        text: &mut String,
        headed: &mut Option<Family>,
    ) -> bool {
        let sample = samples.get(self.server);
        let next = sample.and_then(|sample| Some((sample, sample.threads().get(self.next)?)));
        let Some((sample, thread)) = next else {
            return false;
        };
        self.next += 1;
        let family = self.family;
        let mut header = |text: &mut String| {
            if headed.replace(family) != Some(family) {
                write_header(text, &family.metric());
            }
        };
        match &self.lines {
            Some(lines) => sample.times_of(family, thread, |times| {
                header(text);
                lines.write(text, thread.index, times);
            }),
            None => sample.info_of(thread, &mut |labels, value| {
                header(text);
                write_series(text, &family.metric(), labels, value);
            }),
        }
        true
    }
}

/// Writes the metric of these samples.
fn write_family<'a>(text: &mut String, family: Family, samples: impl Iterator<Item = &'a Sample>) {
    let metric = family.metric();
    let mut has_header = false;
    for sample in samples {
        sample.series(family, &mut |labels, value| {
            if !mem::replace(&mut has_header, true) {
                write_header(text, &metric);
            }
            write_series(text, &metric, labels, value);
        });
    }
}

fn write_series(text: &mut String, metric: &Metric, labels: Labels<'_>, value: Value<'_>) {
    match value {
        Value::Number(value) => write_line(text, metric.name, labels, value),
        Value::Histogram { bounds, counts } => {
            write_histogram(text, metric.name, labels, bounds, counts);
        }
    }
}
