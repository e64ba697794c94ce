//! The wait of another thread of this process.
//!
//! A process may read these files of its own threads whatever its rights are (`ptrace(2)`: access to threads of
//! one's own thread group is always allowed). About 10 µs, and up to 4 µs more for each descriptor of a set.

use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::activity::{SystemCall, ThreadActivity};
use super::call::Call;
use super::descriptor::{Descriptor, parse_epoll, poll_descriptors, select_descriptors, strongest};
use super::on::On;
use super::wchan::{is_disk, is_stopped};
use crate::descriptor_limit::descriptor_limit;

/// Descriptors by which a wait for several is classified, and bytes of a set's description that name as many.
const MOST_DESCRIPTORS: usize = 64;
const MOST_EPOLL_BYTES: u64 = 8_192;

/// Part of the descriptors that a process may have, one in so many, up to which files are kept open.
const PART_OF_DESCRIPTORS: u64 = 4;

/// The wait of a thread of this process, and the file that shows whether it goes on.
#[derive(Debug)]
pub(crate) struct OwnWait {
    on: Option<On>,
    /// The thread's `syscall`: to read it again takes 2 µs, to open it as well takes 7 µs.
    call: Option<File>,
}

impl OwnWait {
    /// Finds out what the thread `tid` waits for. Sockets with one of the local ports `client_ports` are clients'
    /// connections.
    pub(crate) fn find(tid: i32, client_ports: &[u16]) -> Self {
        let call = File::open(format!("/proc/self/task/{tid}/syscall")).ok();
        Self {
            on: call
                .as_ref()
                .and_then(|call| waits_on(tid, call, client_ports)),
            call: call.filter(has_room),
        }
    }

    /// Thing that the thread waited for; `None` if it ran, or nothing is known.
    pub(crate) fn on(&self) -> Option<On> {
        self.on
    }

    /// Returns whether the thread is asleep now; `None` if the file cannot tell, or is not open.
    pub(crate) fn sleeps(&self) -> Option<bool> {
        let activity = read_activity(self.call.as_ref()?)?;
        Some(activity != ThreadActivity::Runs)
    }
}

/// Returns whether an open file may stay open: others may need the descriptor. The kernel gives out the lowest that is
/// free, so that its number shows how many are in use.
fn has_room(file: &File) -> bool {
    let number = u64::try_from(file.as_raw_fd()).unwrap_or(u64::MAX);
    descriptor_limit().is_some_and(|limit| number < limit / PART_OF_DESCRIPTORS)
}

/// Reads a thread's `syscall`.
fn read_activity(file: &File) -> Option<ThreadActivity> {
    // A number, and eight words of at most 18 bytes.
    let mut buffer = [0; 256];
    let length = file.read_at(&mut buffer, 0).ok()?;
    ThreadActivity::parse(std::str::from_utf8(&buffer[..length]).ok()?)
}

fn waits_on(tid: i32, call: &File, client_ports: &[u16]) -> Option<On> {
    let on = match read_activity(call)? {
        ThreadActivity::Runs => return None,
        ThreadActivity::Faults => On::Fault,
        ThreadActivity::Calls(call) => call_waits_on(&call, client_ports),
    };
    let wchan = fs::read_to_string(format!("/proc/self/task/{tid}/wchan"));
    Some(match wchan {
        Ok(wchan) if is_stopped(&wchan) => On::Stopped,
        Ok(wchan) if is_disk(&wchan) => On::Disk,
        _ => on,
    })
}

fn call_waits_on(call: &SystemCall, client_ports: &[u16]) -> On {
    let kind = |fd| kind(fd, client_ports);
    let set = match call.call {
        Call::Epoll => epoll_targets(call.fd()),
        Call::Poll => poll_set(call.arguments),
        Call::Select => select_set(call.arguments),
        _ => return call.call.on(|| kind(call.fd())),
    };
    let Ok(fds) = set else {
        return On::Other;
    };
    match strongest(fds.into_iter().take(MOST_DESCRIPTORS).map(kind)) {
        // Nothing but the loop's own means to wake it, until a time.
        On::Other if call.has_timeout() => On::Sleep,
        on => on,
    }
}

fn epoll_targets(fd: i32) -> io::Result<Vec<i32>> {
    let mut text = String::new();
    let file = File::open(format!("/proc/self/fdinfo/{fd}"))?;
    file.take(MOST_EPOLL_BYTES).read_to_string(&mut text)?;
    Ok(parse_epoll(&text).iter().map(|target| target.fd).collect())
}

fn poll_set([address, entries, ..]: [u64; 5]) -> io::Result<Vec<i32>> {
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    let memory = own_memory(address, entries.min(MOST_DESCRIPTORS) * 8)?;
    Ok(poll_descriptors(&memory))
}

fn select_set([end, address, ..]: [u64; 5]) -> io::Result<Vec<i32>> {
    if address == 0 {
        return Ok(Vec::new());
    }
    // A set has at most 1,024 bits (`FD_SETSIZE`). The kernel changes it only when the call returns.
    let bytes = end.min(1_024).div_ceil(64) as usize * 8;
    Ok(select_descriptors(&own_memory(address, bytes)?, end))
}

/// Memory of this process, which may be gone: the thread that waits may go on at any moment.
fn own_memory(address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut memory = vec![0; length];
    File::open("/proc/self/mem")?.read_exact_at(&mut memory, address)?;
    Ok(memory)
}

fn kind(fd: i32, client_ports: &[u16]) -> On {
    match Descriptor::of(std::process::id(), fd) {
        Some(Descriptor::Socket(_)) => socket_kind(fd, client_ports),
        Some(descriptor) => descriptor.on(),
        None => On::Other,
    }
}

fn socket_kind(fd: i32, client_ports: &[u16]) -> On {
    let Some(local) = address(fd, libc::getsockname) else {
        return On::Socket;
    };
    match i32::from(local.storage.ss_family) {
        libc::AF_INET | libc::AF_INET6 => {
            if client_ports.contains(&local.port()) {
                On::Client
            } else {
                On::Socket
            }
        }
        // Both ends of a socket pair are without a name. With one, runtimes wake their loops (tokio, for signals).
        libc::AF_UNIX if local.is_unnamed() => match address(fd, libc::getpeername) {
            Some(peer) if peer.is_unnamed() => On::Other,
            _ => On::Socket,
        },
        _ => On::Socket,
    }
}

/// Address of a socket.
struct SocketName {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl SocketName {
    /// Returns true for the address of a Unix socket that is bound to no path.
    fn is_unnamed(&self) -> bool {
        self.length as usize <= mem::size_of::<libc::sa_family_t>()
    }

    /// The port, which `sockaddr_in` and `sockaddr_in6` have at the same place.
    #[expect(unsafe_code, reason = "the port's place depends on the family")]
    fn port(&self) -> u16 {
        // SAFETY: a `sockaddr_storage` is larger than a `sockaddr_in`, aligned for it, and plain integers.
        let v4 = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
        u16::from_be(v4.sin_port)
    }
}

type NameOfSocket =
    unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

/// Calls `getsockname` or `getpeername`; `None` where it fails.
#[expect(
    unsafe_code,
    reason = "rustix takes only descriptors that cannot be closed meanwhile"
)]
fn address(fd: i32, name: NameOfSocket) -> Option<SocketName> {
    // SAFETY: a `sockaddr_storage` is plain integers, for which zero is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: both pointers are valid for the write of `length` bytes. The call changes nothing, so it does no
    // harm if the descriptor is closed, or is another object, by now.
    let result = unsafe { name(fd, (&raw mut storage).cast(), &raw mut length) };
    (result == 0).then_some(SocketName { storage, length })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Waits until a thread that runs `wait` is seen to wait for something, and returns that.
    fn seen(client_ports: &[u16], wait: impl FnOnce() + Send + 'static) -> On {
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            send.send(rustix::thread::gettid().as_raw_nonzero().get())
                .unwrap();
            wait();
        });
        let tid = receive.recv().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            // Until it waits, it may be seen in a short wait, e.g. for the memory of its stack.
            thread::sleep(Duration::from_millis(20));
            let switches = || fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"));
            let before = switches().unwrap();
            let wait = OwnWait::find(tid, client_ports);
            if let (Some(on), Some(true)) = (wait.on(), wait.sleeps()) {
                if before == switches().unwrap() {
                    return on;
                }
            }
            assert!(Instant::now() < deadline, "the thread does not wait");
        }
    }

    /// A connection that sends nothing, at both ends: the client's, and the accepted one with its port.
    fn silent_connection() -> (TcpStream, TcpStream, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        (client, listener.accept().unwrap().0, address.port())
    }

    #[test]
    fn the_thing_that_a_thread_waits_for_is_known() {
        const LONG: Duration = Duration::from_secs(60);
        assert_eq!(seen(&[], || thread::sleep(LONG)), On::Sleep);
        let (send, receive) = mpsc::channel::<()>();
        let lock = move || assert!(receive.recv().is_ok());
        assert_eq!(seen(&[], lock), On::Lock);
        send.send(()).unwrap();
        let (mut client, mut accepted, port) = silent_connection();
        let read = move || drop(client.read(&mut [0]));
        assert_eq!(seen(&[port], read), On::Socket);
        let read = move || drop(accepted.read(&mut [0]));
        assert_eq!(seen(&[port], read), On::Client);
        let (mut end, _other) = io::pipe().unwrap();
        assert_eq!(seen(&[], move || drop(end.read(&mut [0]))), On::Pipe);
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        assert_eq!(seen(&[], move || drop(child.wait())), On::Child);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    #[test]
    fn a_wait_goes_on_until_the_thread_runs() {
        let (send, receive) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                send.send(rustix::thread::gettid().as_raw_nonzero().get())
                    .unwrap();
                let _ = ended.recv();
                while !stop.load(Relaxed) {}
            }
        });
        let tid = receive.recv().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let within_deadline = |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                assert!(Instant::now() < deadline, "the thread does as before");
                thread::sleep(Duration::from_millis(1));
            }
        };
        within_deadline(&|| OwnWait::find(tid, &[]).on() == Some(On::Lock));
        let wait = OwnWait::find(tid, &[]);
        assert_eq!(wait.sleeps(), Some(true));
        drop(end);
        within_deadline(&|| wait.sleeps() == Some(false));
        stop.store(true, Relaxed);
        thread.join().unwrap();
        // The kernel forgets the thread a moment after the join.
        within_deadline(&|| wait.sleeps().is_none());
    }

    #[test]
    fn a_timer_of_a_runtime_is_a_sleep() {
        let wait = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let sleep = async { tokio::time::sleep(Duration::from_secs(60)).await };
            runtime.unwrap().block_on(sleep);
        };
        assert_eq!(seen(&[], wait), On::Sleep);
    }

    #[test]
    fn sets_of_poll_are_read_from_memory() {
        let (client, accepted, port) = silent_connection();
        let poll = |fd: i32, timeout| {
            let mut set = libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            #[expect(unsafe_code, reason = "rustix calls `ppoll`")]
            // SAFETY: the set is valid for the time of the call.
            let _ = unsafe { libc::poll(&raw mut set, 1, timeout) };
        };
        let fd = client.as_raw_fd();
        assert_eq!(seen(&[port], move || poll(fd, -1)), On::Socket);
        let fd = accepted.as_raw_fd();
        assert_eq!(seen(&[port], move || poll(fd, 60_000)), On::Client);
        assert_eq!(seen(&[port], move || poll(-1, 60_000)), On::Sleep);
    }

    #[test]
    fn a_socket_pair_is_no_server_and_a_named_socket_is_one() {
        let (pair, _other) = UnixStream::pair().unwrap();
        assert_eq!(socket_kind(pair.as_raw_fd(), &[]), On::Other);
        let path = std::env::temp_dir().join(format!("thread-states-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(socket_kind(client.as_raw_fd(), &[]), On::Socket);
        assert_eq!(socket_kind(accepted.as_raw_fd(), &[]), On::Socket);
    }
}
