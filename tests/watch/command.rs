//! `threadlab watch` as it is typed.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::lab::{Scrape, get};
use super::servers::{Kind, TestServer};

/// The command, ended when dropped.
pub struct WatchProcess {
    child: Child,
    pub metrics: String,
}

impl WatchProcess {
    pub fn start(program: &str, arguments: &[&str], uid: Option<u32>) -> Self {
        let mut command = Command::new(program);
        command
            .arg("watch")
            .args(arguments)
            .args(["--metrics", "127.0.0.1:0"])
            .stdout(Stdio::piped());
        if let Some(uid) = uid {
            command.uid(uid);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (_, metrics) = line
            .split_once("http://")
            .unwrap_or_else(|| panic!("{line:?}"));
        let metrics = metrics.trim_end().trim_end_matches("/metrics").to_owned();
        Self { child, metrics }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for WatchProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_threadlab");

#[test]
fn states_show_within_five_seconds_of_typing() {
    let server = TestServer::start(Kind::CurrentThread);
    let target = format!("mine=port:{}", server.address.port());
    let began = Instant::now();
    let watch = WatchProcess::start(PROGRAM, &["--name", &target], None);
    thread::sleep(Duration::from_millis(1_000));
    let index = thread::scope(|scope| {
        scope.spawn(|| server.get("/await/4500"));
        loop {
            let threads = get(&watch.metrics, "/threads").json();
            let list = threads[0]["threads"].as_array().unwrap();
            let awaits = list.iter().find(|thread| thread["state"] == "awaiting");
            if let Some(thread) = awaits {
                break thread["thread"].as_str().unwrap().to_owned();
            }
            assert!(began.elapsed() < Duration::from_secs(5), "{threads}");
            thread::sleep(Duration::from_millis(50));
        }
    });
    let scrape = Scrape::of(&watch.metrics);
    let pid = server.pid();
    assert!(scrape.wall("mine") > 0.0);
    let text = get(&watch.metrics, "/metrics").body;
    assert!(
        text.contains(&format!(
            "thread_info{{server=\"mine\",thread=\"0\",pid=\"{pid}\""
        )),
        "{text}"
    );
    let since = format!(
        "thread_state_since_seconds{{server=\"mine\",thread=\"{index}\",state=\"awaiting\"}}"
    );
    assert!(text.contains(&since), "{text}");
}

#[test]
fn without_a_target_every_listening_server_is_watched() {
    let server = TestServer::start(Kind::Pool);
    let watch = WatchProcess::start(PROGRAM, &[], None);
    // A machine may have hundreds of servers, which are found within the budget.
    let deadline = Instant::now() + Duration::from_secs(30);
    let pid = format!("pid=\"{}\"", server.pid());
    while !get(&watch.metrics, "/metrics").body.contains(&pid) {
        assert!(
            Instant::now() < deadline,
            "{}",
            get(&watch.metrics, "/metrics").body
        );
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn without_permission_unknown_time_has_no_other_state() {
    if !rustix::process::geteuid().is_root() {
        // Another user's processes are needed, which only root can arrange: those of root itself.
        return check_without_permission(PROGRAM, "other=1", None);
    }
    // A copy where any user can run it.
    let program = std::env::temp_dir().join(format!("threadlab-{}", std::process::id()));
    std::fs::copy(PROGRAM, &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let server = TestServer::start(Kind::Pool);
    check_without_permission(
        program.to_str().unwrap(),
        &format!("other={}", server.pid()),
        Some(65_534),
    );
    std::fs::remove_file(program).unwrap();
}

fn check_without_permission(program: &str, target: &str, uid: Option<u32>) {
    let watch = WatchProcess::start(program, &["--name", target], uid);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut text = String::new();
    while !text.contains("state=\"unknown\"") {
        assert!(Instant::now() < deadline, "{text}");
        thread::sleep(Duration::from_millis(100));
        text = get(&watch.metrics, "/metrics").body;
    }
    assert!(
        text.contains("threadlab_watch_missing{server=\"other\",source=\"syscall\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("threadlab_watch_missing{server=\"other\",source=\"fd\"} 1"),
        "{text}"
    );
    let scrape = Scrape::of(&watch.metrics);
    for state in ["blocked", "awaiting", "idle"] {
        assert_eq!(scrape.state("other", state), 0.0, "{state}");
    }
    let threads = get(&watch.metrics, "/threads").json();
    assert!(threads[0]["threads"][0]["state"].is_null(), "{threads}");
}
