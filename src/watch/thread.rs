//! One watched thread: its open files in `/proc`, and its time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use thread_states::waits::{On, ThreadActivity};
use thread_states::{Nanos, State, Timestamp};

use super::homes::{Homes, Place, Quiet, can_be_home, is_at_peer};
use super::ledger::{Ledger, Seen};
use super::motion::Read;
use super::proc_files::{Fd, Pid, SchedStat, Tid};
use super::process::{Ends, KnownSockets, ObservedProcess};
use super::settle::Settled;
use super::site::{Site, Wait};
use super::sockets::CLOCK_STEP;

/// A thread.
#[derive(Debug)]
pub(super) struct ObservedThread {
    /// Its process.
    pub pid: Pid,
    /// Its number.
    pub tid: Tid,
    /// Its name.
    pub comm: String,
    schedstat: File,
    /// `None` if it may not be read.
    syscall: Option<File>,
    wchan: Option<File>,
    /// Its time that is not settled yet.
    pub ledger: Ledger,
    /// Relation of its present wait to its homes.
    pub place: Place,
    /// The version of the homes for which that holds.
    placed: u64,
    /// The last place at which it waited and which can be a home.
    stay: Option<Stay>,
    /// The peer at which it waited, unless it has since been where it can have a home.
    stay_at_peer: Option<Stay>,
    /// The latest end of the requests that came before its present wait, as far as is known.
    unneeded_since: Timestamp,
    /// The event loop at which it was last at home.
    pub loop_fd: Option<Fd>,
    /// Its time so far, but for the end that is not settled.
    pub settled: Settled,
    /// Its state; `None` if it cannot be known.
    pub state: Option<State>,
    /// When that began.
    pub state_since: Timestamp,
    /// Its place among the server's threads; `None` until it has done anything.
    pub slot: Option<usize>,
}

/// A place to which a thread has come back, and since when.
#[derive(Debug)]
struct Stay {
    wait: Arc<Wait>,
    since: Timestamp,
}

impl Stay {
    fn is_at(&self, wait: &Wait) -> bool {
        self.wait.site == wait.site
    }
}

impl ObservedThread {
    /// Opens the files of a thread. Its time begins at `started`, or now if that is `None`.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn open(
        pid: Pid,
        tid: Tid,
        comm: String,
        started: Option<Timestamp>,
    ) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/task/{tid}/{name}"));
        let schedstat = open("schedstat")?;
        let (syscall, wchan) = (open("syscall").ok(), open("wchan").ok());
        let base = match started {
            Some(_) => SchedStat::default(),
            None => read_schedstat(&schedstat)?,
        };
        let now = Timestamp::now();
        Ok(Self {
            pid,
            tid,
            comm,
            schedstat,
            syscall,
            wchan,
            ledger: Ledger::new(started.unwrap_or(now), base),
            place: Place::Unknown,
            placed: 0,
            stay: None,
            stay_at_peer: None,
            unneeded_since: now,
            loop_fd: None,
            settled: Settled::default(),
            state: None,
            state_since: now,
            slot: None,
        })
    }

    /// Reads its counters, and where it waits if it has moved. It had not moved until `still_until`, unless it was read
    /// later.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn tick(
        &mut self,
        process: &mut ObservedProcess,
        sockets: KnownSockets<'_>,
        still_until: Timestamp,
    ) -> io::Result<Read> {
        self.ledger.wait_until(still_until);
        let stat = read_schedstat(&self.schedstat)?;
        let now = Timestamp::now();
        let cpu = self.ledger.cpu_until(&stat);
        let has_moved = !self.ledger.is_unmoved(&stat);
        if has_moved {
            process.last_ran = now;
            let seen = match self.read_wait(process, now, sockets)? {
                Some(wait) => Seen::Waits(wait),
                None => Seen::Runs,
            };
            self.ledger.tick(now, stat, seen);
            self.note_wait(&process.homes);
        } else {
            self.ledger.tick(now, stat, Seen::Unmoved);
        }
        Ok(Read {
            cpu,
            has_moved,
            runs: self.ledger.wait().is_none(),
        })
    }

    /// Notes the wait into which it was seen to go.
    fn note_wait(&mut self, homes: &Homes) {
        let Some((wait, since)) = self.ledger.wait() else {
            return;
        };
        let stay = if is_at_peer(wait) {
            Some(&mut self.stay_at_peer)
        } else if can_be_home(wait) {
            self.stay_at_peer = None;
            Some(&mut self.stay)
        } else {
            None
        };
        if let Some(stay) = stay
            && !stay.as_ref().is_some_and(|stay| stay.is_at(wait))
        {
            *stay = Some(Stay {
                wait: Arc::clone(wait),
                since,
            });
        }
        self.find_place(homes);
    }

    fn find_place(&mut self, homes: &Homes) {
        let Some((wait, _)) = self.ledger.wait() else {
            return;
        };
        self.place = homes.place(self.tid, wait);
        self.placed = homes.version();
        if let (Place::Loop, Site::Epoll(fd)) = (self.place, &wait.site) {
            self.loop_fd = Some(*fd);
        }
    }

    /// Brings its times up to the moment at which it was last read or, if that is later, until which it has not moved.
    pub(super) fn update(&mut self, homes: &Homes, still_until: Timestamp) {
        self.ledger.wait_until(still_until);
        if self.placed != homes.version() {
            self.find_place(homes);
        }
        let (running, runnable) = self.ledger.take_counted();
        self.settled.add_state(State::Running, running);
        self.settled.add_state(State::Runnable, runnable);
    }

    fn read_wait(
        &self,
        process: &mut ObservedProcess,
        now: Timestamp,
        sockets: KnownSockets<'_>,
    ) -> io::Result<Option<Arc<Wait>>> {
        let mut buffer = [0; 256];
        let text = match &self.syscall {
            Some(file) => read(file, &mut buffer)?,
            None => None,
        };
        let Some(activity) = text.and_then(ThreadActivity::parse) else {
            return Ok(Some(hidden()));
        };
        let mut buffer = [0; 64];
        let wchan = match (activity, &self.wchan) {
            (ThreadActivity::Runs, _) | (_, None) => None,
            (_, Some(file)) => read(file, &mut buffer)?,
        };
        Ok(process.wait(activity, wchan.unwrap_or(""), now, sockets))
    }

    /// Data about its present wait, for what can be learned from it; `None` if it runs. `no_request_since` is when the
    /// process last had a request in flight, and `ends` are those of its requests of the last look.
    pub(super) fn quiet(
        &mut self,
        no_request_since: Timestamp,
        ends: &Ends,
        last_look: Timestamp,
        now: Timestamp,
    ) -> Option<(Arc<Wait>, Quiet)> {
        let (wait, since) = self.ledger.wait()?;
        let last_end = ends.of_those_before(since + CLOCK_STEP);
        self.unneeded_since = self.unneeded_since.max(last_end);
        let mut stays = [&self.stay, &self.stay_at_peer].into_iter().flatten();
        let stay = stays.find(|stay| stay.is_at(wait));
        let quiet = Quiet {
            since,
            unneeded_since: self.unneeded_since,
            returns_since: stay.map_or(since, |stay| stay.since).max(no_request_since),
            last_look,
            now,
        };
        Some((Arc::clone(wait), quiet))
    }

    /// Returns true if it runs, or waits away from its homes.
    pub(super) fn is_away(&self) -> bool {
        self.ledger.wait().is_none() || self.place == Place::Away
    }

    /// Returns true if it has no known home and waits for something other than a lock, at which pools wait for work.
    pub(super) fn is_likely_to_serve(&self) -> bool {
        let wait = self.ledger.wait().map(|(wait, _)| wait);
        self.place == Place::Unknown
            && wait.is_some_and(|wait| !wait.multiplexes && wait.on != On::Lock)
    }

    /// Returns true if it may not be seen where the thread waits.
    pub(super) fn is_hidden(&self) -> bool {
        self.place == Place::Hidden
    }

    /// Sets its state at this moment.
    pub(super) fn set_state(&mut self, state: Option<State>, now: Timestamp) {
        if self.state != state {
            self.state = state;
            self.state_since = now;
        }
    }

    /// Time in which it was anything but idle.
    pub(super) fn busy(&self) -> Nanos {
        let all = self.settled.times.total();
        all.saturating_sub(self.settled.times[State::Idle])
    }
}

/// The wait of a thread whose site may not be read.
fn hidden() -> Arc<Wait> {
    Arc::new(Wait {
        site: Site::Hidden,
        on: On::Other,
        multiplexes: false,
        for_work: false,
    })
}

fn read_schedstat(file: &File) -> io::Result<SchedStat> {
    let mut buffer = [0; 128];
    let length = file.read_at(&mut buffer, 0)?;
    let text = std::str::from_utf8(&buffer[..length]).ok();
    text.and_then(SchedStat::parse)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads a short text; `None` if that is not permitted.
///
/// # Errors
///
/// When the thread has ended.
fn read<'a>(file: &File, buffer: &'a mut [u8]) -> io::Result<Option<&'a str>> {
    match file.read_at(buffer, 0) {
        Ok(length) => Ok(std::str::from_utf8(&buffer[..length]).ok()),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(error),
        Err(_) => Ok(None),
    }
}
