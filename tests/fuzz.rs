//! The fuzz targets, on their corpus and on changed copies of it. The fuzzer itself needs a nightly compiler: `make fuzz`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use threadlab::experiment::fuzz as experiment;
use threadlab::watch::fuzz as watch;

#[path = "../fuzz/requests.rs"]
mod requests;

/// Function that gets the fuzzer's bytes.
type Target = fn(&[u8]);

/// Every target of `fuzz/fuzz_targets/`.
const TARGETS: [(&str, Target); 10] = [
    ("front", requests::front),
    ("heads", requests::heads),
    ("homes", watch::homes),
    ("metrics_text", experiment::metrics_text),
    ("parameters", requests::parameters),
    ("proc_files", watch::proc_files),
    ("request_start", requests::request_start),
    ("settle", watch::settle),
    ("sites", watch::sites),
    ("sockets", watch::sockets),
];

/// Changed copies of each file of the corpus.
const COPIES: usize = 50;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names_in(folder: PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| stem(entry.unwrap().path())).collect()
}

/// Changes some bytes of a copy, and its length.
fn change(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    for _ in 0..random.usize(1..8) {
        match random.u8(0..4) {
            0 => copy.truncate(random.usize(0..=copy.len())),
            1 => copy.insert(random.usize(0..=copy.len()), random.u8(..)),
            2 => copy.extend(bytes),
            _ if copy.is_empty() => {}
            _ => {
                let at = random.usize(0..copy.len());
                let any = random.u8(..);
                copy[at] = random.choice([0, 1, 127, 128, 255, any]).unwrap();
            }
        }
    }
    copy
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(folder().join("corpus")), targets);
    assert_eq!(names_in(folder().join("fuzz_targets")), targets);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in &targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(
            !names_in(folder().join("corpus").join(name)).is_empty(),
            "{name}"
        );
    }
}

fn run(target: Target, bytes: &[u8]) {
    let passes = std::panic::catch_unwind(|| target(bytes)).is_ok();
    assert!(passes, "input: \"{}\"", bytes.escape_ascii());
}

#[test]
fn no_input_of_the_corpus_nor_a_changed_copy_breaks_a_target() {
    for (name, target) in TARGETS {
        // The same copies in every run.
        let mut random = fastrand::Rng::with_seed(7);
        for entry in fs::read_dir(folder().join("corpus").join(name)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            run(target, &bytes);
            for _ in 0..COPIES {
                run(target, &change(&bytes, &mut random));
            }
        }
    }
}
