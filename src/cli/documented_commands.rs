//! The commands in the Markdown pages, parsed as the program would parse them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::Cli;

/// Beginnings of the commands that run this program.
const STARTS: [&str; 4] = [
    "cargo run --release --",
    "cargo run --release",
    "threadlab",
    "target/release/threadlab",
];

/// Returns the Markdown pages of the repository, without those of the build.
fn pages(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && name != ".git" && name != "node_modules" {
                pages(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Returns the lines of code blocks and the code spans of a page.
fn code(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut code = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            code.push(line.trim().to_owned());
        } else {
            // A span without a flag is often the name of a command in a sentence, and no whole command.
            let spans = line.split('`').skip(1).step_by(2);
            code.extend(spans.filter(|span| span.contains(" --")).map(str::to_owned));
        }
    }
    code
}

/// Returns the arguments with which a command runs this program; `None` if it does not, or has placeholders.
fn arguments(command: &str) -> Option<Vec<String>> {
    let command = command.split(" #").next().unwrap_or_default();
    let command = command
        .split([';', '|', '&', '>'])
        .next()
        .unwrap_or_default();
    let words: Vec<&str> = command.split_whitespace().collect();
    let placeholder = |word: &str| {
        word.contains(['…', '$', '<', '[', '*']) || matches!(word, "NAME" | "URL" | "ARGS")
    };
    if words.iter().copied().any(placeholder) {
        return None;
    }
    let after = |start: &'static str| {
        let start: Vec<&str> = start.split(' ').collect();
        words.strip_prefix(&start[..]).map(<[&str]>::to_vec)
    };
    let in_compose = words.starts_with(&["docker", "compose"])
        && words.contains(&"run")
        && words.contains(&"experiment");
    let found = if in_compose {
        let at = words.iter().rposition(|word| *word == "experiment")?;
        let names = words[at + 1..].to_vec();
        let names = if names.is_empty() { vec!["all"] } else { names };
        [&["experiment"], &names[..]].concat()
    } else {
        STARTS.into_iter().find_map(after)?
    };
    let found = found
        .into_iter()
        .map(|word| word.trim_matches(['"', '\'']).to_owned());
    Some(found.collect())
}

#[test]
fn commands_in_the_pages_can_be_parsed() {
    let mut found = Vec::new();
    pages(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
    let mut wrong = Vec::new();
    let mut parsed = 0;
    for page in found {
        for command in code(&fs::read_to_string(&page).unwrap()) {
            let Some(arguments) = arguments(&command) else {
                continue;
            };
            parsed += 1;
            let line = ["threadlab".to_owned()].into_iter().chain(arguments);
            if let Err(error) = Cli::try_parse_from(line)
                && error.use_stderr()
            {
                wrong.push(format!("{}: {command}: {error}", page.display()));
            }
        }
    }
    assert!(parsed > 40, "only {parsed} commands found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn arguments_are_those_of_the_program() {
    let of = |command| arguments(command).map(|found| found.join(" "));
    assert_eq!(of("cargo run --release"), Some(String::new()));
    assert_eq!(
        of("cargo run --release -- experiment article --guess   # in another"),
        Some("experiment article --guess".into())
    );
    assert_eq!(
        of("docker compose run --rm --no-deps experiment failover"),
        Some("experiment failover".into())
    );
    assert_eq!(of("threadlab experiment NAME --guess"), None);
    assert_eq!(of("docker compose up"), None);
    assert_eq!(of("cargo test"), None);
}
