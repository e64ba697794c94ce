//! Rules for imports between modules, so that each part can be read alone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, and which others of ours each may import. `serve` and `cli` may import all.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("flavor", &[]),
    ("html", &[]),
    ("wire", &[]),
    ("app", &["database", "flavor"]),
    ("database", &["metrics"]),
    ("proxy", &["flavor", "wire"]),
    ("gateway", &["flavor", "metrics", "wire"]),
    ("metrics", &["flavor"]),
    ("live", &["flavor", "html", "metrics"]),
    ("watch", &["metrics"]),
    ("experiment", &["flavor", "html"]),
];

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|entry| rust_files(&entry));
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The modules of ours that a text names in code, as `crate::NAME` or `use crate::{NAME, …}`, or
/// the same after `super::`, by which the top of a module reaches its neighbours.
fn named(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    let paths = ["crate::", "super::"].map(|path| code.match_indices(path));
    for (at, path) in paths.into_iter().flatten() {
        let rest = &code[at + path.len()..];
        let word = |text: &str| -> String {
            text.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        };
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split(';').next().unwrap();
                names.extend(list.split([',', '{', '}']).map(|part| word(part.trim())));
            }
            None => {
                names.insert(word(rest));
            }
        }
    }
    names
}

#[test]
fn modules_import_only_what_they_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules: BTreeSet<&str> = ALLOWED.iter().map(|(module, _)| *module).collect();
    modules.extend(["serve", "cli"]);

    for (module, allowed) in ALLOWED {
        let files: Vec<PathBuf> = [source.join(module), source.join(format!("{module}.rs"))]
            .iter()
            .flat_map(|path| rust_files(path))
            .collect();
        assert!(!files.is_empty(), "{module} has no files");
        for file in files {
            for name in named(&fs::read_to_string(&file).unwrap()) {
                let other = name != module && modules.contains(name.as_str());
                let may = !other || allowed.contains(&name.as_str());
                assert!(
                    may,
                    "{} imports {name}; {module} may import {allowed:?}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn every_module_is_under_the_rule() {
    let map = include_str!("../src/lib.rs");
    let modules = map.lines().filter_map(|line| {
        line.trim_start_matches("pub ")
            .strip_prefix("mod ")?
            .strip_suffix(';')
    });
    for module in modules.filter(|module| !["serve", "cli"].contains(module)) {
        assert!(
            ALLOWED.iter().any(|(known, _)| *known == module),
            "{module} has no rule"
        );
    }
}

#[test]
fn names_are_found_in_every_form_of_import() {
    let text = "use crate::app;\nuse crate::{live, metrics::{self, list}};\ncrate::proxy::bind();\n\
                use super::super::gateway;\n// crate::cli";
    let found = named(text);
    for name in ["app", "live", "metrics", "proxy", "gateway"] {
        assert!(found.contains(name), "{name} in {found:?}");
    }
    assert!(!found.contains("cli"));
}
