//! The Markdown pages: their links, and the files, make targets, tests and panels that they name, exist.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "common/dashboards.rs"]
mod dashboards;

/// Ends of the names of source files; such a name may stand in a page without its directory.
const SOURCES: [&str; 3] = [".rs", ".js", ".conf"];

/// A Markdown page of the repository.
struct Page {
    /// Path relative to the root.
    path: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the repository, relative to the root, without build output and `.git`.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let path = directory.join(&name);
            if !entry.file_type().unwrap().is_dir() {
                files.push(path);
            } else if name != "target" && name != ".git" && name != "node_modules" {
                directories.push(path);
            }
        }
    }
    files
}

fn pages() -> Vec<Page> {
    let markdown = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let pages = files().into_iter().filter(markdown).map(|path| Page {
        text: fs::read_to_string(root().join(&path)).unwrap(),
        path,
    });
    pages.collect()
}

/// Returns the text without its fenced and indented code blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// Returns the texts between pairs of backticks, and the lines of code blocks.
fn code(text: &str) -> Vec<String> {
    let prose = prose(text);
    let spans = prose.split('`').skip(1).step_by(2).map(str::to_owned);
    let kept: BTreeSet<&str> = prose.lines().collect();
    let blocks = text.lines().filter(|line| !kept.contains(line));
    spans
        .chain(blocks.map(|line| line.trim().to_owned()))
        .collect()
}

/// Returns the anchors of a page as GitHub derives them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    let mut links = 0;
    for Page { path, text } in pages() {
        let text = prose(&text);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                root().join(&path)
            } else {
                root().join(&path).with_file_name("").join(file)
            };
            let fine = if anchor.is_empty() {
                target.exists()
            } else {
                let target = fs::read_to_string(target).unwrap_or_default();
                anchors(&target).contains(anchor)
            };
            if !fine {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(links > 30, "only {links} links found");
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn named_files_exist() {
    let files = files();
    let directories: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.components().count() > 1)
        .filter_map(|file| file.components().next()?.as_os_str().to_str())
        .collect();
    let file_names: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.file_name()?.to_str())
        .collect();
    let in_path = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let mut missing = Vec::new();
    let mut named = 0;
    for Page { path, text } in pages() {
        for name in text
            .split(|c| !in_path(c))
            .map(|name| name.trim_end_matches('.'))
        {
            // A path from the root, or in the page's own crate.
            let Some((top, _)) = name.split_once('/') else {
                continue;
            };
            if !directories.contains(top) {
                continue;
            }
            named += 1;
            let sibling = root().join(&path).with_file_name(name);
            if !root().join(name).exists() && !sibling.exists() {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
        for code in code(&text) {
            let names = code.split(|c| !in_path(c) || c == '/');
            // `<name>.rs` is a placeholder.
            let names = names.filter(|name| !name.starts_with('.'));
            for name in names.filter(|name| SOURCES.iter().any(|end| name.ends_with(end))) {
                named += 1;
                if !file_names.contains(name) {
                    missing.push(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(named > 50, "only {named} paths found");
    assert!(missing.is_empty(), "no such files: {missing:#?}");
}

#[test]
fn named_make_targets_and_tests_exist() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    let files = files();
    let tests: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| {
            let directory = file.parent()?;
            if directory.ends_with("tests") {
                file.file_stem()?.to_str()
            } else if file.ends_with("main.rs") && directory.parent()?.ends_with("tests") {
                directory.file_name()?.to_str()
            } else {
                None
            }
        })
        .collect();
    let mut missing = Vec::new();
    let mut named = 0;
    for Page { path, text } in pages() {
        for line in code(&text) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["make", target, ..] = words[..] {
                named += 1;
                if !targets.contains(target) {
                    missing.push(format!("{}: make {target}", path.display()));
                }
            }
            for pair in words.windows(2).filter(|pair| pair[0] == "--test") {
                named += 1;
                if !tests.contains(pair[1]) {
                    missing.push(format!("{}: --test {}", path.display(), pair[1]));
                }
            }
        }
    }
    assert!(named > 5, "only {named} names found");
    assert!(missing.is_empty(), "not there: {missing:#?}");
}

#[test]
fn named_panels_exist() {
    let mut titles = BTreeSet::new();
    for (_, text) in dashboards::files("grafana/dashboards", "json") {
        let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
        titles.insert(dashboard["title"].as_str().unwrap().to_owned());
        for panel in dashboards::panels(&dashboard) {
            let title = dashboards::text(&panel["title"]);
            let variable = ["$server: ", "$routed: "];
            let title = variable
                .iter()
                .find_map(|v| title.strip_prefix(v))
                .unwrap_or(title);
            titles.insert(title.to_owned());
        }
    }
    let mut missing = Vec::new();
    let mut named = 0;
    for Page { path, text } in pages() {
        let sections = text.split("\n## In Grafana\n").skip(1);
        for section in sections.filter_map(|rest| rest.split("\n## ").next()) {
            let section = section.replace('\n', " ");
            for title in section.split('"').skip(1).step_by(2) {
                named += 1;
                if !titles.contains(title) {
                    missing.push(format!("{}: {title}", path.display()));
                }
            }
        }
    }
    assert!(named > 10, "only {named} panels found");
    assert!(missing.is_empty(), "no such panels: {missing:#?}");
}

/// Returns the code blocks of a page in this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("\n```{language}\n");
    let blocks = text.split(start.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect()
}

#[test]
fn programs_in_the_page_about_the_article_are_those_that_run() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let page = read("docs/article.md");
    let python = blocks(&page, "python");
    let rust = blocks(&page, "rust");
    assert_eq!((python.len(), rust.len()), (2, 1));
    let programs = [
        (python[0], "originals/flask/app.py"),
        (python[1], "originals/fastapi/app.py"),
        (rust[0], "src/app/endpoints.rs"),
    ];
    for (block, path) in programs {
        let program = read(path);
        for function in block.split("\n\n") {
            assert!(
                program.contains(function.trim()),
                "{path} has no\n{function}"
            );
        }
    }
}
