//! Judges `/dummy` while clients that send little or nothing occupy the server.

use std::time::Duration;

use crate::experiment::attempt::Attempt;
use crate::experiment::lab_client::LabClient;
use crate::experiment::report::{Prediction, Run, Setting, Unit};
use crate::experiment::scrape::StateSeconds;
use crate::experiment::waits::{at_once, short_wait};

/// Time for which the clients stay, and the delay after which `/dummy` is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    pub(super) time: Duration,
    pub(super) pause: Duration,
}

impl Hold {
    /// Derives both from the article's wait. `time` stays below the servers' read timeout of 10 s.
    pub(super) fn of(lab: &LabClient) -> Self {
        let time = short_wait(lab.wait);
        Self {
            time,
            pause: time / 10,
        }
    }
}

/// Predicts that the thread is held and `/dummy` waits.
pub(super) fn judge_held(
    run: &mut Run,
    setting: &Setting,
    hold: Hold,
    dummy: &Attempt,
    spent: &StateSeconds,
) {
    let (time, rest) = (
        hold.time.as_secs_f64(),
        (hold.time - hold.pause).as_secs_f64(),
    );
    run.judge(
        setting,
        Prediction::about(
            "latency of /dummy",
            rest,
            0.15,
            "the thread is held until the client leaves; tolerance 15 % and 0.3 s for a busy machine",
        ),
        dummy.seconds(),
    );
    run.judge_state(
        setting,
        Prediction::about(
            "thread blocked",
            time,
            0.15,
            "the thread is held, off CPU, for that time; same tolerance",
        ),
        spent.blocked,
        spent,
    );
}

/// Predicts that the thread is free and `/dummy` is served at once.
pub(super) fn judge_free(
    run: &mut Run,
    setting: &Setting,
    hold: Hold,
    dummy: &Attempt,
    spent: &StateSeconds,
) {
    run.judge(
        setting,
        Prediction::at_most(
            "latency of /dummy",
            Unit::Seconds,
            at_once(hold.time),
            "the thread is free; the limit is 0.5 s or a quarter of the time, whichever is lower",
        ),
        dummy.seconds(),
    );
    run.judge_state(
        setting,
        Prediction::at_least(
            "thread idle",
            Unit::Seconds,
            hold.time.as_secs_f64() * 0.7,
            "no request but /dummy is in flight; tolerance 30 % for a busy machine",
        ),
        spent.idle,
        spent,
    );
}
