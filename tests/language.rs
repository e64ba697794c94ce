//! Rules about comments that keep the code easy to read.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Share of doc comments that may open with a question word.
const MAX_QUESTIONS: f64 = 0.03;

/// Words that make a sentence out of what should be a noun phrase or a verb ("Returns …").
const QUESTION_WORDS: [&str; 6] = ["What", "Whether", "How", "Who", "Which", "Where"];

/// Folders with Rust files.
const FOLDERS: [&str; 4] = ["src", "crates", "tests", "benches"];

/// Returns the Rust files of a folder and its subfolders, each with its text.
fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
    files
}

/// Returns the first line of each doc comment, with its line number.
fn doc_comments(text: &str) -> Vec<(usize, &str)> {
    let mut comments = Vec::new();
    let mut within = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let comment = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"));
        match comment {
            Some(comment) if !within => comments.push((number, comment.trim())),
            _ => {}
        }
        within = comment.is_some();
    }
    comments
}

fn is_question(comment: &str) -> bool {
    let first = comment.split(|c: char| !c.is_alphabetic()).next();
    QUESTION_WORDS.contains(&first.unwrap_or_default())
}

#[test]
fn doc_comments_do_not_open_with_a_question_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = FOLDERS.map(|folder| root.join(folder));
    let mut total = 0;
    let mut questions = Vec::new();
    for (path, text) in folders.iter().flat_map(|folder| rust_files(folder)) {
        for (number, comment) in doc_comments(&text) {
            total += 1;
            if is_question(comment) {
                questions.push(format!("{}:{number}: {comment}", path.display()));
            }
        }
    }
    assert!(total > 100, "only {total} doc comments");
    let share = questions.len() as f64 / f64::from(total);
    println!("{} of {total} open with a question word", questions.len());
    assert!(
        share <= MAX_QUESTIONS,
        "{:.1} % of {total} doc comments open with a question word:\n{}",
        100.0 * share,
        questions.join("\n")
    );
}

#[test]
fn the_rules_see_what_they_should() {
    let text = "//! What a file is.\n//! How it is.\n\nfn f() {}\n\n    /// Returns more.\n    x: u8,\n    /// Whether it is.\n";
    let comments = doc_comments(text);
    let lines: Vec<_> = comments.iter().map(|(number, _)| *number).collect();
    assert_eq!(lines, [1, 6, 8]);
    let found: Vec<_> = comments.iter().map(|(_, text)| is_question(text)).collect();
    assert_eq!(found, [true, false, true]);
}
