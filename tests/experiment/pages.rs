//! Checks of the course in `docs/labs/` against the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use threadlab::experiment::ALL;

fn read(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/labs")
        .join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_experiment_has_a_complete_page() {
    let course = read("README.md");
    for experiment in ALL {
        let (name, question) = (experiment.name, experiment.question);
        let page = read(&format!("{name}.md"));
        assert!(
            page.starts_with(&format!("# {name}: {question}\n")),
            "{name}"
        );
        for heading in [
            "Question and prediction",
            "Why",
            "Run it",
            "What you see",
            "What to change next",
            "In Grafana",
        ] {
            assert!(
                page.contains(&format!("\n## {heading}\n")),
                "{name} has no {heading}"
            );
        }
        // A sample of the program's output, with the current model.
        assert!(
            page.contains(experiment.model),
            "the sample of {name} is outdated"
        );
        assert!(
            page.contains("\n  confirmed after "),
            "the sample of {name} is not confirmed"
        );
        assert!(
            course.contains(&format!("[{name}]({name}.md)")),
            "{name} is not in the course"
        );
    }
}

#[test]
fn the_course_has_the_order_of_the_list() {
    let course = read("README.md");
    assert!(course.contains(&format!(" {} experiments", ALL.len())));
    for (index, experiment) in ALL.iter().enumerate() {
        let name = experiment.name;
        let row = format!("| {} | [{name}]({name}.md) |", index + 1);
        assert!(course.contains(&row), "{row}");
        if let Some(next) = ALL.get(index + 1) {
            let link = format!("\nNext: [{0}]({0}.md)", next.name);
            assert!(
                read(&format!("{name}.md")).contains(&link),
                "{name}: {link}"
            );
        }
    }
}

/// Returns the answers in the folded part of a section, and the tasks before it.
fn tasks_and_answers(section: &str) -> (usize, usize) {
    let (tasks, answers) = section.split_once("<details>").unwrap_or((section, ""));
    let numbered = |text: &str| {
        let starts = text.lines().filter(|line| {
            let number = line.split_once(". ").map(|(number, _)| number);
            number.is_some_and(|number| number.parse::<usize>().is_ok())
        });
        starts.count()
    };
    (numbered(tasks), numbered(answers))
}

#[test]
fn every_task_has_an_answer_and_answers_are_folded() {
    for experiment in ALL {
        let page = read(&format!("{}.md", experiment.name));
        let section = |heading: &str| {
            let rest = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
            rest.split("\n## ").next().unwrap().to_owned()
        };
        for heading in ["Why", "What you see", "What to change next"] {
            assert_eq!(
                section(heading).matches("<details>").count(),
                1,
                "{}: {heading}",
                experiment.name
            );
        }
        let (tasks, answers) = tasks_and_answers(&section("What to change next"));
        assert!(tasks >= 2, "{}: {tasks} tasks", experiment.name);
        assert_eq!(tasks, answers, "{}", experiment.name);
    }
}

#[test]
fn the_paths_of_the_course_add_up() {
    let course = read("README.md");
    let rows = course.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<Vec<&str>> = rows
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.len() == 6)
        .collect();
    let (headings, parts) = rows.split_first().unwrap();
    assert!(parts.len() > ALL.len(), "{parts:?}");
    for (column, heading) in headings.iter().enumerate().skip(3) {
        let promised: u32 = heading.trim_end_matches(" min").parse().unwrap();
        let minutes = parts.iter().map(|cells| match cells[column] {
            "" => 0,
            minutes => minutes.parse::<u32>().unwrap(),
        });
        assert_eq!(minutes.sum::<u32>(), promised, "{heading}");
    }
}

fn keys<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.insert(key);
            keys(value, found);
        }),
        _ => {}
    }
}

/// Asserts that the page about the schema lists every field of a report.
pub(crate) fn assert_every_field_is_documented(report: &Value) {
    assert_eq!(report["schema"], 1);
    let schema = read("schema.md");
    let mut found = BTreeSet::new();
    keys(report, &mut found);
    assert!(found.len() > 30, "{found:?}");
    for key in found {
        assert!(
            schema.contains(&format!("`{key}`")) || schema.contains(&format!("`{key}[]`")),
            "{key}"
        );
    }
}
