//! Both servers and each way in which a handler can spend time.

use std::time::Duration;

use super::definition::{Experiment, GuessQuestion};
use super::pair;
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::lab_server::LabServer;
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
    duration: |config| {
        let servers = config.servers.iter();
        let cells = servers.map(|server| cell_wait(config.wait) + pair::lag(*server));
        cells.sum::<Duration>() * WAYS.len() as u32
    },
    perform: |lab, run| Box::pin(perform(lab, run)),
};

/// State in which a handler puts the thread that serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The ways in which a handler can spend time, by path.
const WAYS: [(&str, &str); 4] = [
    ("/", "await, then /dummy"),
    ("/blocking", "blocking, then /dummy"),
    ("/offloaded", "offloaded, then /dummy"),
    ("/cpu", "cpu, then /dummy"),
];

/// Returns the state that the model predicts for the thread of a server while it serves `path`.
fn predicted(flavor: Flavor, path: &str) -> ThreadState {
    match (flavor, path) {
        (_, "/cpu") => ThreadState::Running,
        (Flavor::Async, "/" | "/offloaded") => ThreadState::Awaiting,
        _ => ThreadState::Blocked,
    }
}

fn cell_wait(wait: Duration) -> Duration {
    (wait / 10).clamp(Duration::from_millis(600), Duration::from_secs(2))
}

async fn perform(lab: &LabClient, run: &mut Run) -> Result<(), Error> {
    let wait = cell_wait(lab.wait);
    for server in &lab.servers {
        for way in WAYS {
            measure(lab, run, *server, way, wait).await?;
        }
    }
    Ok(())
}

async fn measure(
    lab: &LabClient,
    run: &mut Run,
    server: LabServer,
    (path, load): (&str, &str),
    wait: Duration,
) -> Result<(), Error> {
    lab.show_step(&format!("{server}: {load}"));
    let state = predicted(server.flavor(), path);
    let pause = wait / 4;
    let request = format!("{path}?seconds={}", wait.as_secs_f64());
    let pair = pair::send(lab, server, &request, pause).await?;
    let mut setting = lab.setting(server, Via::Front, pair.threads, wait, load);
    setting.pool_threads = pair.pool.filter(|_| path == "/offloaded");
    let rest = (wait - pause).as_secs_f64();
    let quantity = "latency of /dummy";
    let latency = match state {
        ThreadState::Awaiting => Prediction::at_most(
            quantity,
            Unit::Seconds,
            at_once(wait),
            "the thread is free; the limit is 0.5 s or a quarter of the wait, whichever is lower",
        ),
        // Python runs one thread at a time, so that /dummy may wait for a CPU and for the interpreter's lock.
        ThreadState::Blocked | ThreadState::Running if server.has_spare_threads() => {
            Prediction::at_most(
                quantity,
                Unit::Seconds,
                at_once(wait) + pair.spent.runnable,
                "another of its threads is free; the limit is 0.5 s or a quarter of the wait, whichever is lower, and \
                 for as long as threads waited for a CPU",
            )
        }
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
    // An event loop that wakes up during the wait, as uvicorn's does for its timers, may have to wait for a CPU.
    let waited_for_cpu = match state {
        ThreadState::Awaiting => pair.spent.runnable,
        ThreadState::Blocked | ThreadState::Running => 0.0,
    };
    run.judge_state(
        &setting,
        Prediction::between(
            state.quantity(),
            Unit::Seconds,
            wait.as_secs_f64() * 0.75 - waited_for_cpu,
            wait.as_secs_f64() * 1.25 + 0.3,
            "the state in which the handler puts its thread, for as long as it waits or computes; tolerance 25 % and 0.3 s",
        ),
        state.seconds(&pair.spent),
        &pair.spent,
    );
    Ok(())
}
