//! Both gateways and each way of spending a while.

use std::time::Duration;

use super::{Experiment, at_once, pair};
use crate::experiment::lab::{Lab, Via};
use crate::experiment::report::{Prediction, Run, Unit};
use crate::experiment::{Error, Server, States};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "matrix",
    question: "What makes /dummy wait: the gateway or the code?",
    model: "On one thread, /dummy waits if the thread is held. The synchronous gateway holds it through every \
            request. The asynchronous one gives it back where the code awaits (/, /offloaded) and not where the code \
            blocks or computes.",
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// A way of spending a while, and what its thread does meanwhile.
struct Cell {
    server: Server,
    path: &'static str,
    load: &'static str,
    state: State,
}

enum State {
    Running,
    Blocked,
    Awaiting,
}

impl State {
    fn of(&self, states: &States) -> f64 {
        match self {
            Self::Running => states.running,
            Self::Blocked => states.blocked,
            Self::Awaiting => states.awaiting,
        }
    }

    const fn quantity(&self) -> &'static str {
        match self {
            Self::Running => "thread running",
            Self::Blocked => "thread blocked",
            Self::Awaiting => "thread awaiting",
        }
    }
}

const CELLS: [Cell; 8] = [
    cell(Server::Sync, "/", "await, then /dummy", State::Blocked),
    cell(
        Server::Sync,
        "/blocking",
        "blocking, then /dummy",
        State::Blocked,
    ),
    cell(
        Server::Sync,
        "/offloaded",
        "offloaded, then /dummy",
        State::Blocked,
    ),
    cell(Server::Sync, "/cpu", "cpu, then /dummy", State::Running),
    cell(Server::Async, "/", "await, then /dummy", State::Awaiting),
    cell(
        Server::Async,
        "/blocking",
        "blocking, then /dummy",
        State::Blocked,
    ),
    cell(
        Server::Async,
        "/offloaded",
        "offloaded, then /dummy",
        State::Awaiting,
    ),
    cell(Server::Async, "/cpu", "cpu, then /dummy", State::Running),
];

const fn cell(server: Server, path: &'static str, load: &'static str, state: State) -> Cell {
    Cell {
        server,
        path,
        load,
        state,
    }
}

async fn perform(lab: &Lab, run: &mut Run) -> Result<(), Error> {
    let wait = (lab.wait / 10).clamp(Duration::from_millis(600), Duration::from_secs(2));
    for cell in &CELLS {
        fill(lab, run, cell, wait).await?;
    }
    Ok(())
}

async fn fill(lab: &Lab, run: &mut Run, cell: &Cell, wait: Duration) -> Result<(), Error> {
    lab.say(&format!("{}: {}", cell.server, cell.load));
    let pause = wait / 4;
    let path = format!("{}?seconds={}", cell.path, wait.as_secs_f64());
    let seen = pair::ask(lab, cell.server, &path, pause).await?;
    let mut setting = lab.setting(cell.server, Via::Front, seen.threads, wait, cell.load);
    setting.pool_threads = (cell.path == "/offloaded").then_some(seen.pool);
    let rest = (wait - pause).as_secs_f64();
    let quantity = "latency of /dummy";
    let latency = match cell.state {
        State::Awaiting => Prediction::at_most(
            quantity,
            Unit::Seconds,
            at_once(wait),
            "the thread is free; at most a quarter of the wait, for a busy machine",
        ),
        State::Blocked => Prediction::between(
            quantity,
            Unit::Seconds,
            rest * 0.8,
            rest * 1.2 + 0.3,
            "the thread is held for the rest of the wait; 20 % and 0.3 s for a busy machine",
        ),
        State::Running => Prediction::at_least(
            quantity,
            Unit::Seconds,
            rest * 0.8,
            "the thread is held for the rest of the wait, less 20 %; longer where others want the CPU, because /cpu \
             counts CPU time",
        ),
    };
    run.judge(&setting, latency, seen.dummy.seconds());
    run.judge_state(
        &setting,
        Prediction::at_least(
            cell.state.quantity(),
            Unit::Seconds,
            wait.as_secs_f64() * 0.75,
            "what the code does with its thread; at least three quarters of the wait",
        ),
        cell.state.of(&seen.spent),
        &seen.spent,
    );
    Ok(())
}
