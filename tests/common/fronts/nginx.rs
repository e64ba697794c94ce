//! nginx with the configuration of `nginx/`, in which only addresses, paths and timeouts are replaced.
//!
//! `THREADLAB_TEST_NGINX` is the command to run it: the path of a binary, or a command that ends in one,
//! such as `docker run --rm --network=host --volume={dir}:{dir} nginx:1.30.6-alpine nginx`. In it
//! `{dir}` becomes the directory that nginx reads and writes.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::address::free_address;
use super::lab::Behind;
use super::{PAGE, TIMEOUT};

/// The shipped configuration.
pub const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/nginx");

/// A running nginx; ends when dropped.
pub struct Nginx {
    pub address: SocketAddr,
    /// Address of its metrics.
    pub status: SocketAddr,
    directory: PathBuf,
    process: Child,
}

impl Nginx {
    pub fn start(behind: &Behind) -> Self {
        let (address, status) = (free_address(), free_address());
        let directory = new_directory();
        write_page(&directory);
        write_configuration(&directory, address, status, behind);
        let process = command(&directory)
            .args(["-g", "daemon off;"])
            .stdout(File::create(directory.join("access.log")).unwrap())
            .stderr(File::create(directory.join("error.log")).unwrap())
            .spawn()
            .unwrap();
        let mut nginx = Self {
            address,
            status,
            directory,
            process,
        };
        nginx.wait_until_it_listens();
        nginx
    }

    /// The lines of the access log so far.
    pub fn access_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join("access.log")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_until_it_listens(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < TIMEOUT,
                "nginx does not listen: {}",
                self.errors()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the process. `docker run` loses a signal that comes before its container runs, so it is sent again.
    fn terminate(&mut self) {
        let start = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            let signal = if start.elapsed() < TIMEOUT {
                Signal::TERM
            } else {
                Signal::KILL
            };
            // Fails if it has ended since.
            let _ = kill_process(Pid::from_child(&self.process), signal);
            let sent = Instant::now();
            while sent.elapsed() < Duration::from_secs(1)
                && self.process.try_wait().unwrap().is_none()
            {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.directory.join("error.log")).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("stderr of nginx:\n{}", self.errors());
        }
        self.terminate();
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// Returns the output of `nginx -t` for the shipped configuration.
pub fn check_shipped() -> Output {
    let directory = new_directory();
    copy_shipped(&directory);
    write_resolver(&directory);
    let output = command(&directory).arg("-t").output().unwrap();
    fs::remove_dir_all(&directory).unwrap();
    output
}

/// Returns the command that runs nginx with the configuration of this directory.
fn command(directory: &Path) -> Command {
    let Ok(command) = std::env::var("THREADLAB_TEST_NGINX") else {
        panic!("THREADLAB_TEST_NGINX says how to run nginx 1.30, and is not set: run `make test`");
    };
    let command = command.replace("{dir}", directory.to_str().unwrap());
    let mut words = command.split_whitespace();
    let program = words.next().expect("THREADLAB_TEST_NGINX is empty");
    let mut command = Command::new(program);
    command
        .args(words)
        .arg("-c")
        .arg(directory.join("nginx.conf"));
    command
}

fn new_directory() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "nginx-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn copy_shipped(directory: &Path) {
    for entry in fs::read_dir(SHIPPED).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.join(entry.file_name())).unwrap();
    }
}

/// Writes the file that `start.sh` writes in a container, into this directory.
fn write_resolver(directory: &Path) {
    let file = directory.join("resolver.conf");
    fs::write(&file, "resolver 127.0.0.11;").unwrap();
    replace(
        directory,
        "upstreams.conf",
        &[("/tmp/resolver.conf", file.to_str().unwrap())],
    );
}

fn write_page(directory: &Path) {
    for (_, file, _, text) in PAGE {
        fs::write(directory.join(file), text).unwrap();
    }
}

fn write_configuration(directory: &Path, address: SocketAddr, status: SocketAddr, behind: &Behind) {
    copy_shipped(directory);
    write_resolver(directory);
    let here = directory.to_str().unwrap();
    replace(
        directory,
        "nginx.conf",
        &[
            ("listen 8080 ", &format!("listen {address} ")),
            ("listen     8081;", &format!("listen {status};")),
            ("/tmp/", &format!("{here}/")),
            ("/usr/share/nginx/html", here),
        ],
    );
    let sync: Vec<_> = behind.sync.iter().map(|server| server.address).collect();
    replace(
        directory,
        "upstreams.conf",
        &[
            ("server sync:8000 resolve max_fails=0;", &servers(&sync)),
            (
                "server async:8000 resolve max_fails=0;",
                &servers(&[behind.asynchronous.address]),
            ),
            (
                "server sync:9100 resolve max_fails=0;",
                &servers(&[behind.sync_threads.address]),
            ),
            (
                "server async:9100 resolve max_fails=0;",
                &servers(&[behind.async_threads.address]),
            ),
        ],
    );
    for (name, watcher) in &behind.watchers {
        let address = format!("'{}'", watcher.address);
        replace(
            directory,
            "servers.js",
            &[(&format!("'{name}:9100'"), &address)],
        );
    }
    replace(
        directory,
        "timeouts.conf",
        &[
            (
                " 2s;",
                &format!(" {}ms;", behind.connect_timeout.as_millis()),
            ),
            (
                " 600s;",
                &format!(" {}ms;", behind.upstream_timeout.as_millis()),
            ),
            (
                " 60s;",
                &format!(" {}ms;", behind.client_timeout.as_millis()),
            ),
        ],
    );
}

/// Replaces each of these texts, all of which must occur.
fn replace(directory: &Path, file: &str, swaps: &[(&str, &str)]) {
    let path = directory.join(file);
    let mut text = fs::read_to_string(&path).unwrap();
    for (old, new) in swaps {
        assert!(text.contains(old), "{file} has no {old:?} any more");
        text = text.replace(old, new);
    }
    fs::write(path, text).unwrap();
}

fn servers(addresses: &[SocketAddr]) -> String {
    addresses
        .iter()
        .map(|address| format!("server {address} max_fails=0;"))
        .collect()
}
