//! Both servers and each way in which a handler can spend time.

use std::time::Duration;

use super::definition::{Experiment, GuessQuestion};
use super::pair;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::report::{Prediction, Run, Unit};
use crate::experiment::scrape::StateSeconds;
use crate::experiment::waits::at_once;
use crate::flavor::Flavor;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "matrix",
    question: "What makes /dummy wait: the server or the code?",
    model: "On one thread, /dummy waits while the thread is held. The synchronous server holds it during every \
            request. The asynchronous server releases it while the code awaits (/, /offloaded), but not while the \
            code blocks or computes (/blocking, /cpu).",
    guesses: &[
        GuessQuestion {
            server: Flavor::Async,
            quantity: "latency of /dummy",
            conditions: "blocking",
            text: |wait| {
                format!(
                    "/blocking blocks the event loop for {:.1} s. After how many seconds does the asynchronous server respond to /dummy, sent a quarter of that later?",
                    cell_wait(wait).as_secs_f64()
                )
            },
        },
        GuessQuestion {
            server: Flavor::Async,
            quantity: "latency of /dummy",
            conditions: "offloaded",
            text: |_| "And if the blocking call runs on the blocking pool?".into(),
        },
    ],
    duration: |wait| cell_wait(wait) * CELLS.len() as u32,
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// An endpoint of a server, and the state of the thread that serves it.
struct MatrixCell {
    server: Flavor,
    path: &'static str,
    load: &'static str,
    state: ThreadState,
}

enum ThreadState {
    Running,
    Blocked,
    Awaiting,
}

impl ThreadState {
    fn seconds(&self, states: &StateSeconds) -> f64 {
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

const CELLS: [MatrixCell; 8] = [
    cell(
        Flavor::Sync,
        "/",
        "await, then /dummy",
        ThreadState::Blocked,
    ),
    cell(
        Flavor::Sync,
        "/blocking",
        "blocking, then /dummy",
        ThreadState::Blocked,
    ),
    cell(
        Flavor::Sync,
        "/offloaded",
        "offloaded, then /dummy",
        ThreadState::Blocked,
    ),
    cell(
        Flavor::Sync,
        "/cpu",
        "cpu, then /dummy",
        ThreadState::Running,
    ),
    cell(
        Flavor::Async,
        "/",
        "await, then /dummy",
        ThreadState::Awaiting,
    ),
    cell(
        Flavor::Async,
        "/blocking",
        "blocking, then /dummy",
        ThreadState::Blocked,
    ),
    cell(
        Flavor::Async,
        "/offloaded",
        "offloaded, then /dummy",
        ThreadState::Awaiting,
    ),
    cell(
        Flavor::Async,
        "/cpu",
        "cpu, then /dummy",
        ThreadState::Running,
    ),
];

const fn cell(
    server: Flavor,
    path: &'static str,
    load: &'static str,
    state: ThreadState,
) -> MatrixCell {
    MatrixCell {
        server,
        path,
        load,
        state,
    }
}

fn cell_wait(wait: Duration) -> Duration {
    (wait / 10).clamp(Duration::from_millis(600), Duration::from_secs(2))
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let wait = cell_wait(lab.wait);
    for cell in &CELLS {
        measure(lab, run, cell, wait).await?;
    }
    Ok(())
}

async fn measure(
    lab: &LabClient,
    run: &mut Run,
    cell: &MatrixCell,
    wait: Duration,
) -> Result<(), Error> {
    lab.show_step(&format!("{}: {}", cell.server, cell.load));
    let pause = wait / 4;
    let path = format!("{}?seconds={}", cell.path, wait.as_secs_f64());
    let pair = pair::send(lab, cell.server, &path, pause).await?;
    let mut setting = lab.setting(cell.server, Via::Front, pair.threads, wait, cell.load);
    setting.pool_threads = (cell.path == "/offloaded").then_some(pair.pool);
    let rest = (wait - pause).as_secs_f64();
    let quantity = "latency of /dummy";
    let latency = match cell.state {
        ThreadState::Awaiting => Prediction::at_most(
            quantity,
            Unit::Seconds,
            at_once(wait),
            "the thread is free; the limit is 0.5 s or a quarter of the wait, whichever is lower",
        ),
        ThreadState::Blocked => Prediction::between(
            quantity,
            Unit::Seconds,
            rest * 0.8,
            rest * 1.2 + 0.3,
            "the thread is held for the rest of the wait; tolerance 20 % and 0.3 s for a busy machine",
        ),
        ThreadState::Running => Prediction::between(
            quantity,
            Unit::Seconds,
            rest * 0.8,
            rest * 1.2 + 0.3 + pair.spent.runnable,
            "the thread is held for the rest of the wait, which is CPU time, and for as long as it waited for a CPU \
             meanwhile; tolerance 20 % and 0.3 s",
        ),
    };
    run.judge(&setting, latency, pair.dummy.seconds());
    run.judge_state(
        &setting,
        Prediction::between(
            cell.state.quantity(),
            Unit::Seconds,
            wait.as_secs_f64() * 0.75,
            wait.as_secs_f64() * 1.25 + 0.3,
            "the state in which the handler puts its thread, for as long as it waits or computes; tolerance 25 % and 0.3 s",
        ),
        cell.state.seconds(&pair.spent),
        &pair.spent,
    );
    Ok(())
}
