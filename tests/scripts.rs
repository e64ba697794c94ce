//! The scripts run in the shells that users have: macOS has bash 3.2, and `sh` may be any POSIX shell.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Features that bash 3.2 lacks, with the version that introduced them (bash's CHANGES file).
const NEWER_THAN_BASH_3_2: [(&str, &str); 14] = [
    ("mapfile", "4.0"),
    ("readarray", "4.0"),
    ("coproc ", "4.0"),
    ("declare -A", "4.0"),
    ("local -A", "4.0"),
    ("globstar", "4.0"),
    ("&>>", "4.0"),
    ("|&", "4.0"),
    (";;&", "4.0"),
    (",,}", "4.0"),
    ("^^}", "4.0"),
    ("declare -n", "4.3"),
    ("wait -n", "4.3"),
    ("EPOCHSECONDS", "5.0"),
];

/// A `docker` with two replicas, whose experiment prompts for both faults, reports, and exits with 3.
const DOCKER: &str = r#"#!/bin/sh
echo "$*" >>"$FAKES/calls"
case "$*" in
"compose ps --quiet async") printf 'one\ntwo\nthree\n' ;;
"compose run "*)
    echo "now kill one replica" >&2
    echo '{"report": true}'
    echo "now restart one replica" >&2
    exit 3
    ;;
esac
"#;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Shell scripts of the repository, as paths and texts.
fn scripts() -> Vec<(PathBuf, String)> {
    let folders = ["scripts", "deploy/swarm", "nginx"].map(|folder| repository().join(folder));
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let read = files.filter_map(|file| {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).ok()?;
        let first = text.lines().next()?;
        (first.starts_with("#!") && first.ends_with("sh")).then_some((path, text))
    });
    read.collect()
}

#[test]
fn scripts_use_nothing_newer_than_bash_3_2() {
    let scripts = scripts();
    assert!(scripts.len() > 8, "{scripts:?}");
    for (path, text) in scripts {
        let code = text.lines().filter(|line| !line.trim().starts_with('#'));
        for line in code {
            for (newer, version) in NEWER_THAN_BASH_3_2 {
                assert!(
                    !line.contains(newer),
                    "{}: bash {version}: {line}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn scripts_are_correct_in_their_shell() {
    for (path, text) in scripts() {
        let shell = text.lines().next().unwrap().rsplit(['/', ' ']).next();
        let checked = Command::new(shell.unwrap())
            .arg("-n")
            .arg(&path)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{errors}");
    }
}

/// A directory with programs that the script calls in place of the real ones, removed when dropped.
struct Fakes(PathBuf);

impl Fakes {
    fn new(name: &str, programs: &[(&str, &str)]) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        for (program, text) in programs {
            let path = directory.join(program);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(directory)
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(repository().join(script));
        command
            .args(arguments)
            .env("PATH", path)
            .env("FAKES", &self.0);
        command.output().unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.0.join("calls")).unwrap()
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn failover_follows_the_prompts_and_passes_report_and_status_on() {
    let sleep = "#!/bin/sh\n";
    let fakes = Fakes::new("failover-fakes", &[("docker", DOCKER), ("sleep", sleep)]);
    let output = fakes.run("scripts/failover", &["--seconds", "5"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert_eq!(output.stdout, b"{\"report\": true}\n", "{errors}");
    assert!(errors.contains("now kill one replica"), "{errors}");

    let calls = fakes.calls();
    let faults: Vec<&str> = calls
        .lines()
        .filter(|call| !call.starts_with("compose"))
        .collect();
    assert_eq!(faults, ["kill one", "start one", "restart two"]);
    assert!(
        calls.contains("experiment failover --seconds 5\n"),
        "{calls}"
    );
}

#[test]
fn beside_runs_two_commands_at_the_same_time_and_fails_if_one_fails() {
    let beside = |commands: [&str; 2]| {
        let mut command = Command::new(repository().join("scripts/beside"));
        let output = command.args(commands).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), printed)
    };
    let both = |code, printed: &str| (Some(code), printed.to_owned());
    let failing = ["echo one; exit 3", "echo two; exit 4"];
    assert_eq!(beside(failing), both(3, "one\ntwo\n"));
    assert_eq!(beside(["true", failing[1]]), both(4, "two\n"));

    // Each of them ends only if the other one has begun.
    let directory = Fakes::new("beside", &[]);
    let meet = |own: &str, other: &str| {
        let [own, other] = [own, other].map(|name| directory.0.join(name).display().to_string());
        format!(
            ": >'{own}'; for _ in $(seq 200); do [ -e '{other}' ] && exit; sleep 0.1; done; exit 1"
        )
    };
    let [first, second] = [meet("first", "second"), meet("second", "first")];
    assert_eq!(beside([&first, &second]), both(0, ""));
}
