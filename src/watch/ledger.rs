//! Arithmetic of one thread: what its counters say between two ticks, as slices of time at sites.
//!
//! Between two ticks, W passes. The kernel's counters give the CPU time C and the run-queue delay D, so that the thread was
//! off CPU for O = W − C − D, at the sites where it was seen. Nothing is lost: C, D and the slices sum to W, apart from a residual
//! that a later tick explains.
//!
//! The counters are late: C of a running thread by up to one kernel tick, and D of a thread in a run queue
//! until it gets a CPU. Until then that time looks like waiting. So what may still turn out to be delay is held back:
//! the residual of a thread that runs, and the last [`HOLD_BACK`] of a slice.

use std::sync::Arc;

use thread_states::{Nanos, Timestamp};

use super::proc_files::SchedStat;
use super::site::Wait;

/// The end of a slice that is not settled yet, since it may turn out to be delay.
pub(super) const HOLD_BACK: Nanos = Nanos::from_millis(50);

/// Time that a running thread's counters may lack without any wait: more than a kernel tick, of which there are
/// 100 to 1,000 a second.
const LATE: i64 = 10_000_000;

/// Time for which a residual of a thread that was never seen to wait is compared before part of it is known to be a wait.
const WINDOW: Nanos = Nanos::from_millis(300);

/// A stretch of time in which a thread waited at one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Where.
    pub wait: Arc<Wait>,
    /// When this wait began, which may be before the slice.
    pub since: Timestamp,
    /// Start of the stretch.
    pub from: Timestamp,
    /// End of the stretch.
    pub to: Timestamp,
    /// Time at the site within the stretch.
    pub amount: Nanos,
}

/// A thread's activity at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// On a CPU or in a run queue.
    Runs,
    /// In the wait of the tick before, which it has not left meanwhile.
    Unmoved,
    /// In this wait.
    Waits(Arc<Wait>),
}

/// A wait that a running thread has left, while the delay since is unknown.
#[derive(Debug)]
struct Left {
    wait: Arc<Wait>,
    since: Timestamp,
    from: Timestamp,
    /// The most time that belongs to the wait.
    most: i64,
}

/// The time of one thread.
#[derive(Debug)]
pub(super) struct Ledger {
    last: SchedStat,
    at: Timestamp,
    /// The present wait and its beginning; `None` if the thread runs.
    wait: Option<(Arc<Wait>, Timestamp)>,
    left: Option<Left>,
    /// The last wait seen.
    latest: Option<Arc<Wait>>,
    /// Time that no counter and no slice explains yet, in nanoseconds. Negative: slices have too much.
    residual: i64,
    /// Delay that was counted before the kernel reported it.
    early_delay: Nanos,
    window: Option<Window>,
    running: Nanos,
    runnable: Nanos,
    slices: Vec<Slice>,
}

/// The least residual since a time.
#[derive(Debug)]
struct Window {
    from: Timestamp,
    least: i64,
}

impl Ledger {
    /// The time from `at` on, when the counters were `base`.
    pub(super) fn new(at: Timestamp, base: SchedStat) -> Self {
        Self {
            last: base,
            at,
            wait: None,
            left: None,
            latest: None,
            residual: 0,
            early_delay: Nanos::ZERO,
            window: None,
            running: Nanos::ZERO,
            runnable: Nanos::ZERO,
            slices: Vec::new(),
        }
    }

    /// Returns true if the thread has not moved since the last tick: it still waits as it did then, and nothing
    /// but its counters needs to be read.
    pub(super) fn is_unmoved(&self, now: &SchedStat) -> bool {
        self.wait.is_some() && now.arrivals == self.last.arrivals && now.cpu == self.last.cpu
    }

    /// The present wait and when it began; `None` if the thread runs.
    pub(super) fn wait(&self) -> Option<(&Arc<Wait>, Timestamp)> {
        self.wait.as_ref().map(|(wait, since)| (wait, *since))
    }

    /// Time of the last tick.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// CPU time and run-queue delay counted since the last call.
    pub(super) fn take_counted(&mut self) -> (Nanos, Nanos) {
        (
            std::mem::take(&mut self.running),
            std::mem::take(&mut self.runnable),
        )
    }

    /// CPU time between the last tick and these counters.
    pub(super) fn cpu_until(&self, now: &SchedStat) -> Nanos {
        now.cpu.saturating_sub(self.last.cpu)
    }

    /// Takes the time until `until`, in which a thread that waits has not moved; nothing if a tick was later.
    pub(super) fn wait_until(&mut self, until: Timestamp) {
        if self.wait.is_some() && until > self.at {
            self.tick(until, self.last, Seen::Unmoved);
        }
    }

    /// Takes a tick.
    pub(super) fn tick(&mut self, now: Timestamp, stat: SchedStat, seen: Seen) {
        let arrived = stat.arrivals != self.last.arrivals;
        let from = self.at;
        self.count(now, stat);
        match (self.wait.take(), seen) {
            (Some((wait, since)), Seen::Unmoved) => {
                self.explain(&wait, since, from, now, i64::MAX);
                self.wait = Some((wait, since));
            }
            (None, Seen::Runs | Seen::Unmoved) => self.still_runs(from, now, arrived),
            (Some((wait, since)), Seen::Runs) => {
                // It was woken, and its delay since is not known yet.
                self.latest = Some(Arc::clone(&wait));
                let most = self.residual.max(0);
                self.left = Some(Left {
                    wait,
                    since,
                    from,
                    most,
                });
            }
            (None, Seen::Waits(wait)) => {
                self.settle_left(now);
                self.explain(&wait, now, from, now, i64::MAX);
                self.begin(wait, now);
            }
            (Some((before, since)), Seen::Waits(wait)) => {
                if before.site == wait.site {
                    self.explain(&wait, since, from, now, i64::MAX);
                } else {
                    let half = self.residual / 2;
                    self.explain(&before, since, from, now, half);
                    self.explain(&wait, now, from, now, i64::MAX);
                }
                // Also at the same site, it is another wait.
                self.begin(wait, now);
            }
        }
    }

    fn begin(&mut self, wait: Arc<Wait>, now: Timestamp) {
        self.window = None;
        self.latest = Some(Arc::clone(&wait));
        self.wait = Some((wait, now));
    }

    /// Adds what the counters have grown by, and the rest of the time to the residual.
    fn count(&mut self, now: Timestamp, stat: SchedStat) {
        let cpu = self.cpu_until(&stat);
        let delay = stat.delay.saturating_sub(self.last.delay);
        let known = self.early_delay.min(delay);
        self.early_delay -= known;
        self.running += cpu;
        self.runnable += delay - known;
        self.residual += signed(now.duration_since(self.at)) - signed(cpu) - signed(delay - known);
        self.at = now;
        self.last = stat;
        // Delay that comes late is what slices have too much, the latest first.
        while self.residual < 0
            && let Some(slice) = self.slices.last_mut()
        {
            let back = slice
                .amount
                .min(Nanos::from_nanos(self.residual.unsigned_abs()));
            slice.amount -= back;
            self.residual += signed(back);
            if slice.amount == Nanos::ZERO {
                self.slices.pop();
            }
        }
    }

    /// It ran at the last tick, and runs.
    fn still_runs(&mut self, from: Timestamp, now: Timestamp, arrived: bool) {
        if arrived {
            self.settle_left(from);
            self.compare(from, now);
            return;
        }
        // It has been on its CPU or in its run queue all the time; it cannot have waited.
        let explained = self.left.as_ref().map_or(0, |left| left.most) + LATE;
        let early = self.residual - explained;
        if early > LATE {
            self.runnable += Nanos::from_nanos(early.unsigned_abs());
            self.early_delay += Nanos::from_nanos(early.unsigned_abs());
            self.residual -= early;
        }
    }

    /// The delay since the thread left its last wait is known: the rest is the wait's.
    fn settle_left(&mut self, now: Timestamp) {
        if let Some(left) = self.left.take() {
            self.explain(&left.wait, left.since, left.from, now, left.most);
        }
    }

    /// A thread that is always seen running has waited in between, if its residual stays: late counters
    /// catch up, so the least residual of a window bounds them.
    fn compare(&mut self, from: Timestamp, now: Timestamp) {
        let residual = self.residual;
        let window = self.window.get_or_insert(Window {
            from,
            least: residual,
        });
        window.least = window.least.min(residual);
        if now.duration_since(window.from) < WINDOW {
            return;
        }
        let (from, waited) = (window.from, window.least - LATE);
        self.window = None;
        // Where it waited is best told by where it was last seen to wait.
        if let Some(wait) = self.latest.clone()
            && waited > 0
        {
            self.explain(&wait, from, from, now, waited);
        }
    }

    /// Moves at most `most` of the residual into a slice.
    fn explain(
        &mut self,
        wait: &Arc<Wait>,
        since: Timestamp,
        from: Timestamp,
        to: Timestamp,
        most: i64,
    ) {
        let amount = Nanos::from_nanos(self.residual.min(most).max(0).unsigned_abs());
        self.residual -= signed(amount);
        if amount == Nanos::ZERO {
            return;
        }
        match self.slices.last_mut() {
            Some(slice)
                if slice.wait.site == wait.site && slice.since == since && slice.to == from =>
            {
                slice.to = to;
                slice.amount += amount;
            }
            _ => self.slices.push(Slice {
                wait: Arc::clone(wait),
                since,
                from,
                to,
                amount,
            }),
        }
    }

    /// Takes the slices that `wanted` accepts, but for their part after `until`.
    pub(super) fn take_slices(
        &mut self,
        until: Timestamp,
        wanted: impl Fn(&Slice) -> bool,
    ) -> Vec<Slice> {
        let mut taken = Vec::new();
        self.slices.retain_mut(|slice| {
            if slice.from >= until || !wanted(slice) {
                return true;
            }
            if slice.to <= until {
                taken.push(slice.clone());
                return false;
            }
            let amount = share(
                slice.amount,
                until.duration_since(slice.from),
                slice.to.duration_since(slice.from),
            );
            taken.push(Slice {
                to: until,
                amount,
                ..slice.clone()
            });
            slice.from = until;
            slice.amount -= amount;
            true
        });
        taken
    }
}

/// The share `part / whole` of a time; all of it if `part` is not less than `whole`.
pub(super) fn share(time: Nanos, part: Nanos, whole: Nanos) -> Nanos {
    if part >= whole {
        return time;
    }
    let share = u128::from(time.as_nanos()) * u128::from(part.as_nanos());
    // Less than `time`, since `part` is less than `whole`.
    Nanos::from_nanos((share / u128::from(whole.as_nanos())) as u64)
}

fn signed(span: Nanos) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use thread_states::waits::On;

    use super::super::site::Site;
    use super::*;

    const fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    const fn ms(milliseconds: u64) -> Nanos {
        Nanos::from_millis(milliseconds)
    }

    fn at_site(fd: i32) -> Arc<Wait> {
        Arc::new(Wait {
            site: Site::Epoll(fd),
            on: On::Other,
            multiplexes: true,
            for_work: false,
        })
    }

    /// One tick: its time, CPU time and delay in milliseconds, arrivals, and what is seen: `R`uns, `U`nmoved, or
    /// a site's number.
    type Tick = (u64, u64, u64, u64, char);

    /// Running and runnable, the time at the sites 1 and 2, and the residual, in milliseconds.
    fn account(ticks: &[Tick]) -> (u64, u64, u64, u64, i64) {
        let mut ledger = Ledger::new(at(0), SchedStat::default());
        for (now, cpu, delay, arrivals, seen) in ticks {
            let stat = SchedStat {
                cpu: ms(*cpu),
                delay: ms(*delay),
                arrivals: *arrivals,
            };
            let seen = match seen {
                'R' => Seen::Runs,
                'U' => Seen::Unmoved,
                site => Seen::Waits(at_site(site.to_digit(10).unwrap() as i32)),
            };
            ledger.tick(at(*now), stat, seen);
        }
        let (running, runnable) = ledger.take_counted();
        let residual = ledger.residual;
        let slices = ledger.take_slices(at(1_000_000), |_| true);
        let at = |fd| {
            slices
                .iter()
                .filter(|s| s.wait.site == Site::Epoll(fd))
                .map(|s| s.amount)
                .sum::<Nanos>()
        };
        let (one, two) = (at(1), at(2));
        // Nothing is lost.
        let wall = ticks.last().unwrap().0 as i64 * 1_000_000;
        assert_eq!(
            signed(running + runnable + one + two) + residual,
            wall,
            "{ticks:?}"
        );
        let plain = |span: Nanos| span.as_nanos() / 1_000_000;
        (
            plain(running),
            plain(runnable),
            plain(one),
            plain(two),
            residual / 1_000_000,
        )
    }

    #[test]
    fn time_off_cpu_goes_to_the_site_where_the_thread_is_seen() {
        for (ticks, expected) in [
            // It waits, and does not move.
            (
                &[(20, 1, 1, 1, '1'), (40, 1, 1, 1, 'U'), (60, 1, 1, 1, 'U')][..],
                (1, 1, 58, 0, 0),
            ),
            // It leaves the site for another one: half each.
            (&[(20, 0, 0, 1, '1'), (40, 0, 0, 2, '2')], (0, 0, 30, 10, 0)),
            // It waits again at the same site.
            (&[(20, 0, 0, 1, '1'), (40, 5, 0, 2, '1')], (5, 0, 35, 0, 0)),
            // From a site through running to another.
            (
                &[(20, 0, 0, 1, '1'), (40, 8, 0, 2, 'R'), (60, 10, 0, 3, '2')],
                (10, 0, 32, 18, 0),
            ),
        ] {
            assert_eq!(account(ticks), expected, "{ticks:?}");
        }
    }

    #[test]
    fn delay_that_is_reported_late_is_not_time_at_the_site() {
        // Woken right after 20 ms, it is in the run queue until 55 ms; the kernel says so only then.
        let ticks = [
            (20, 0, 0, 1, '1'),
            (40, 0, 0, 1, 'U'),
            (60, 5, 35, 2, 'R'),
            (80, 5, 35, 3, '1'),
        ];
        assert_eq!(account(&ticks), (5, 35, 40, 0, 0));
        // It is seen in the run queue; it may have been woken at any time before.
        let ticks = [
            (20, 0, 0, 1, '1'),
            (40, 0, 0, 1, 'R'),
            (60, 0, 0, 1, 'R'),
            (80, 5, 45, 2, '2'),
        ];
        assert_eq!(account(&ticks), (5, 45, 30, 0, 0));
    }

    #[test]
    fn a_thread_that_runs_or_is_queued_has_not_waited() {
        // It spins beside others: delays come every 60 ms, when it gets a CPU again.
        let spin = |tick: u64| (tick * 20, tick / 3 * 30, tick / 3 * 30, tick / 3, 'R');
        let ticks: Vec<Tick> = (1..=600).map(spin).collect();
        let (running, runnable, _, _, residual) = account(&ticks);
        assert_eq!(
            (running, runnable + residual.unsigned_abs()),
            (6_000, 6_000)
        );
        // It gets no CPU at all for a while: runnable before the kernel says so, and no more when it does.
        let ticks = [
            (20, 20, 0, 1, 'R'),
            (520, 20, 0, 1, 'R'),
            (540, 40, 500, 2, 'R'),
        ];
        assert_eq!(account(&ticks), (40, 500, 0, 0, 0));
    }

    #[test]
    fn short_waits_between_two_ticks_are_time_at_the_latest_site() {
        // Half of the time it waits, but it is seen only once.
        let mut ticks = vec![(20, 10, 0, 5, '1')];
        ticks.extend((2..=200).map(|tick| (tick * 20, tick * 10, 0, tick * 5, 'R')));
        let (running, runnable, waited, _, residual) = account(&ticks);
        assert_eq!((running, runnable), (2_000, 0));
        assert!(waited >= 1_600 && residual <= 400, "{waited} {residual}");
    }

    #[test]
    fn the_end_of_a_slice_can_be_held_back() {
        let mut ledger = Ledger::new(at(0), SchedStat::default());
        ledger.tick(at(20), SchedStat::default(), Seen::Waits(at_site(1)));
        ledger.tick(at(120), SchedStat::default(), Seen::Unmoved);
        let taken = ledger.take_slices(at(70), |_| true);
        assert_eq!(taken.iter().map(|s| s.amount).sum::<Nanos>(), ms(70));
        let rest = ledger.take_slices(at(120), |_| true);
        assert_eq!(rest.iter().map(|s| s.amount).sum::<Nanos>(), ms(50));
    }
}
