//! Progress on stderr, if it is a terminal: a bar over the planned time, and a lane of thread states per
//! server.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::lab_server::LabServer;
use super::report::StateSlice;
use super::reporter::{columns, lane};
use super::scrape::StateSeconds;

/// The bar and the lanes.
#[derive(Debug)]
pub(super) struct Progress {
    multi: MultiProgress,
    bar: ProgressBar,
    state: RefCell<State>,
}

/// The current experiment.
#[derive(Debug)]
struct State {
    /// Planned durations of all experiments.
    planned: Vec<Duration>,
    /// Index in `planned`.
    index: usize,
    step: String,
    started: Option<Instant>,
    lanes: Vec<Lane>,
}

/// Thread states of one server since the experiment started.
#[derive(Debug)]
struct Lane {
    server: LabServer,
    bar: ProgressBar,
    last: Option<StateSeconds>,
    states: Vec<StateSlice>,
}

impl Progress {
    /// Shows a bar over the sum of the planned durations.
    pub(super) fn new(planned: Vec<Duration>) -> Self {
        let multi = MultiProgress::new();
        let bar = multi.add(ProgressBar::new(milliseconds(&planned)));
        bar.set_style(style("{bar:20} {prefix}{wide_msg}"));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self {
            multi,
            bar,
            state: RefCell::new(State {
                planned,
                index: 0,
                step: String::new(),
                started: None,
                lanes: Vec::new(),
            }),
        }
    }

    /// Returns true if stderr is a terminal.
    pub(super) fn is_visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Begins the next experiment.
    pub(super) fn begin(&self, name: &str) {
        self.bar.set_prefix(format!("{name}: "));
    }

    /// Changes the planned duration of the current experiment, which may depend on the lab.
    pub(super) fn plan(&self, duration: Duration) {
        let mut state = self.state.borrow_mut();
        let index = state.index;
        if let Some(planned) = state.planned.get_mut(index) {
            *planned = duration;
        }
        self.bar.set_length(milliseconds(&state.planned));
    }

    /// Ends the current experiment.
    pub(super) fn end(&self) {
        let mut state = self.state.borrow_mut();
        state.index += 1;
        state.started = None;
        for lane in state.lanes.drain(..) {
            lane.bar.finish_and_clear();
        }
        let done = state.planned.iter().take(state.index);
        self.bar.set_position(milliseconds(done));
    }

    /// Removes everything from the terminal.
    pub(super) fn clear(&self) {
        self.end();
        self.bar.finish_and_clear();
    }

    /// Shows the current step beside the bar.
    pub(super) fn show_step(&self, step: &str) {
        self.state.borrow_mut().step = step.to_owned();
        self.show_time_left();
    }

    /// Prints on stderr without disturbing the bar.
    pub(super) fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.multi.suspend(print)
    }

    /// Starts the clock of the current experiment, and a lane for each server.
    pub(super) fn start(&self, servers: &[LabServer]) {
        let mut state = self.state.borrow_mut();
        state.started = Some(Instant::now());
        let names = servers.iter().map(|server| server.as_str().len());
        let name_width = names.max().unwrap_or_default();
        let lanes = servers.iter().map(|server| {
            let bar = self.multi.add(ProgressBar::new_spinner());
            bar.set_style(style("{prefix} {wide_msg}"));
            bar.set_prefix(format!("{server:>name_width$}"));
            Lane {
                server: *server,
                bar,
                last: None,
                states: Vec::new(),
            }
        });
        state.lanes = lanes.collect();
    }

    /// Moves the bar to the current time, and appends to the lanes what the threads did since the last call. `states`
    /// returns the seconds of a server's threads, if they are known.
    pub(super) fn update(&self, states: impl Fn(LabServer) -> Option<StateSeconds>) {
        self.show_time_left();
        let mut state = self.state.borrow_mut();
        let planned = state.planned.get(state.index).copied().unwrap_or_default();
        let elapsed = state
            .started
            .map_or(Duration::ZERO, |start| start.elapsed());
        let (elapsed, planned) = (elapsed.as_secs_f64(), planned.as_secs_f64());
        let columns = columns(std::io::stderr()).map_or(DEFAULT_COLUMNS, usize::from);
        for lane in &mut state.lanes {
            lane.append(elapsed, states(lane.server));
            let drawn = lane.draw(planned.max(elapsed), columns);
            lane.bar.set_message(drawn);
        }
    }

    fn show_time_left(&self) {
        let state = self.state.borrow();
        let done: Duration = state.planned.iter().take(state.index).sum();
        let planned = state.planned.get(state.index).copied().unwrap_or_default();
        let elapsed = state
            .started
            .map_or(Duration::ZERO, |start| start.elapsed());
        let position = done + elapsed.min(planned);
        self.bar.set_position(position.as_millis() as u64);
        let total: Duration = state.planned.iter().sum();
        let left = (total - position).as_secs_f64().ceil();
        let left = if elapsed > planned {
            "takes longer than planned".to_owned()
        } else {
            format!("~{left:.0} s left")
        };
        self.bar.set_message(format!("{left}; {}", state.step));
    }
}

impl Lane {
    fn append(&mut self, elapsed: f64, states: Option<StateSeconds>) {
        let last = std::mem::replace(&mut self.last, states);
        let (Some(states), Some(last)) = (states, last) else {
            return;
        };
        // A server that was restarted begins at 0 again.
        if states.total() <= last.total() {
            return;
        }
        StateSlice::append(&mut self.states, elapsed, &states.since(&last));
    }

    /// Draws the states up to now on an axis of `seconds`, and the present one behind them, so that the line has at most
    /// `columns` characters with the name of the server.
    fn draw(&self, seconds: f64, columns: usize) -> String {
        let state = self.states.last().map_or("", |slice| slice.state);
        let states = StateSeconds::default().named();
        let longest = states.map(|(state, _)| state.len()).into_iter().max();
        let beside = self.bar.prefix().len() + 1 + 1 + longest.unwrap_or_default();
        let drawn = lane(seconds, &self.states, columns.saturating_sub(beside));
        let drawn = format!("{drawn} {state}");
        // indicatif writes to stderr itself, so the choice is made here.
        if AutoStream::choice(&std::io::stderr()) == ColorChoice::Never {
            strip_str(&drawn).to_string()
        } else {
            drawn
        }
    }
}

/// Sum of durations in milliseconds, the unit of the bar.
fn milliseconds<'a>(durations: impl IntoIterator<Item = &'a Duration>) -> u64 {
    let total: Duration = durations.into_iter().sum();
    total.as_millis() as u64
}

/// Columns of a terminal that does not know its width.
const DEFAULT_COLUMNS: usize = 80;

/// Returns a style, or indicatif's default if the template is invalid.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_covers_the_planned_time_of_all_experiments() {
        let progress = Progress::new(vec![Duration::from_secs(20), Duration::from_secs(10)]);
        assert_eq!(progress.bar.length(), Some(30_000));
        progress.begin("article");
        progress.show_step("both servers");
        assert_eq!(progress.bar.message(), "~30 s left; both servers");
        progress.end();
        assert_eq!(progress.bar.position(), 20_000);
        progress.show_step("the next");
        assert_eq!(progress.bar.message(), "~10 s left; the next");
    }

    #[test]
    fn the_plan_of_an_experiment_can_change_when_it_has_begun() {
        let progress = Progress::new([20, 24, 10].map(Duration::from_secs).into());
        progress.end();
        progress.plan(Duration::from_secs(14));
        assert_eq!(progress.bar.length(), Some(44_000));
        progress.show_step("async: offloaded");
        assert_eq!(progress.bar.message(), "~24 s left; async: offloaded");
        progress.end();
        assert_eq!(progress.bar.position(), 34_000);
    }

    #[test]
    fn lanes_of_servers_with_long_names_are_aligned_and_fit_the_terminal() {
        let progress = Progress::new(vec![Duration::from_secs(20)]);
        progress.start(&[LabServer::Sync, LabServer::Gunicorn]);
        let mut state = progress.state.borrow_mut();
        for lane in &mut state.lanes {
            lane.states.push(StateSlice {
                until_seconds: 20.0,
                state: "runnable",
            });
            for columns in [30, 50, 60] {
                let drawn = strip_str(&lane.draw(20.0, columns)).to_string();
                let line = format!("{} {drawn}", lane.bar.prefix());
                assert_eq!(line.chars().count(), columns, "{line}");
            }
        }
        let names: Vec<_> = state.lanes.iter().map(|lane| lane.bar.prefix()).collect();
        assert_eq!(names, ["    sync", "gunicorn"]);
    }

    #[test]
    fn lanes_show_what_the_threads_did_since_the_last_update() {
        let progress = Progress::new(vec![Duration::from_secs(20)]);
        progress.start(&[LabServer::Sync, LabServer::Fastapi]);
        let blocked = |blocked| {
            let states = StateSeconds {
                blocked,
                ..StateSeconds::default()
            };
            move |server| (server == LabServer::Sync).then_some(states)
        };
        progress.update(blocked(1.0));
        progress.update(blocked(1.5));
        // The server was restarted.
        progress.update(blocked(0.2));
        let state = progress.state.borrow();
        let [sync, fastapi] = &state.lanes[..] else {
            panic!("{} lanes", state.lanes.len());
        };
        let states: Vec<_> = sync.states.iter().map(|slice| slice.state).collect();
        assert_eq!(states, ["blocked"]);
        assert!(sync.bar.message().ends_with("blocked"));
        // Nothing is known of the other one.
        assert!(fastapi.states.is_empty());
    }
}
