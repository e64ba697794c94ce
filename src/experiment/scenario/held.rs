//! A thread held by a client that sends little or nothing, and `/dummy` meanwhile.

use std::time::Duration;

use super::{about, at_once};
use crate::experiment::States;
use crate::experiment::lab::{Exchange, Lab};
use crate::experiment::report::{Prediction, Run, Setting, Unit};

/// For how long clients are in the way, and when `/dummy` is sent meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) time: Duration,
    pub(super) pause: Duration,
}

impl Held {
    /// Less than the 10 s after which the servers send slow clients away.
    pub(super) fn of(lab: &Lab) -> Self {
        let time = (lab.wait / 4).clamp(Duration::from_millis(1500), Duration::from_secs(5));
        Self {
            time,
            pause: time / 10,
        }
    }
}

/// The thread is held, and `/dummy` waits.
pub(super) fn judge_held(
    run: &mut Run,
    setting: &Setting,
    held: Held,
    dummy: &Exchange,
    spent: &States,
) {
    let (time, rest) = (
        held.time.as_secs_f64(),
        (held.time - held.pause).as_secs_f64(),
    );
    run.judge(
        setting,
        about(
            "latency of /dummy",
            rest,
            0.15,
            "the thread is held until the client leaves; 15 % and 0.3 s for a busy machine",
        ),
        dummy.seconds(),
    );
    run.judge_state(
        setting,
        about(
            "thread blocked",
            time,
            0.15,
            "off CPU and of no use to anyone else for that time; tolerance as above",
        ),
        spent.blocked,
        spent,
    );
}

/// The thread is free, and `/dummy` is answered at once.
pub(super) fn judge_free(
    run: &mut Run,
    setting: &Setting,
    held: Held,
    dummy: &Exchange,
    spent: &States,
) {
    run.judge(
        setting,
        Prediction::at_most(
            "latency of /dummy",
            Unit::Seconds,
            at_once(held.time),
            "nothing is in its way; at most 0.5 s and a quarter of the time, for a busy machine",
        ),
        dummy.seconds(),
    );
    run.judge_state(
        setting,
        Prediction::at_least(
            "thread idle",
            Unit::Seconds,
            held.time.as_secs_f64() * 0.7,
            "no request is in flight but /dummy; 30 % for a busy machine",
        ),
        spent.idle,
        spent,
    );
}
