use clap::{Command, CommandFactory};

use super::*;

#[test]
fn flags_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_has_its_environment_variable() {
    let command = Cli::command();
    let commands = command.get_subcommands().chain([&command]);
    for argument in commands.flat_map(|command| command.get_arguments()) {
        let Some(flag) = argument
            .get_long()
            .filter(|long| !["help", "version"].contains(long))
        else {
            continue;
        };
        let variable = format!("THREADLAB_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(argument.get_env(), Some(variable.as_ref()), "--{flag}");
    }
}

#[test]
fn values_out_of_range_are_rejected() {
    for bad in [
        "--threads=0",
        "--threads=4097",
        "--backlog=0",
        "--grace=-1",
        "--read-timeout=0",
        "--read-timeout=NaN",
        "--max-in-flight=0",
        "--max-head-bytes=10",
        "--front=nowhere",
        "--front=:80",
        "--front=127.0.0.1:65536",
        "--log=threadlab=loud",
        "--log=inof",
        "--log=info,threadlab::proxy",
    ] {
        assert!(Cli::try_parse_from(["threadlab", bad]).is_err(), "{bad}");
    }
    assert!(
        Cli::try_parse_from(["threadlab", "serve", "sync", "--grace=0", "--threads=4096"]).is_ok()
    );
}

#[test]
fn a_negative_number_is_rejected_with_what_is_allowed() {
    for (arguments, allowed) in [
        (&["--grace", "-1"][..], "expected 0, or seconds from 0.001"),
        (&["serve", "sync", "--backlog", "-1"], "-1 is not in 1.."),
        (
            &["experiment", "article", "--seconds", "-1"],
            "from 0.5 to 120",
        ),
        (&["watch", "--budget", "-1"], "from 0.1% to 100%"),
    ] {
        let command = with_negative_values(Cli::command());
        let error = command
            .try_get_matches_from(["threadlab"].iter().chain(arguments))
            .unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("invalid value '-1'") && error.contains(allowed),
            "{error}"
        );
    }
}

#[test]
fn threads_of_an_experiment_need_a_rate() {
    let parse = |arguments: &[&str]| {
        let command = ["threadlab", "experiment", "capacity"];
        let error = Cli::try_parse_from(command.iter().chain(arguments)).err();
        error.map(|error| error.to_string())
    };
    let planned = ["--rate=5", "--wait=1", "--threads=4"];
    assert_eq!(parse(&planned), None);
    let error = parse(&planned[2..]).unwrap();
    for part in [
        "not provided:\n  --rate <PER_SECOND>\n  --wait <SECONDS>\n",
        "\n  tip: --threads is for the experiment capacity",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // That would be the usage of the program, not of the experiment.
    assert!(!error.contains("Usage:"), "{error}");
}

#[test]
fn variables_of_switches_are_true_or_false() {
    for (text, on) in [("true", true), ("1", true), ("OFF", false), ("", false)] {
        assert_eq!(value::switch(text), Ok(on), "{text:?}");
    }
    assert!(value::switch("2").is_err());
}

#[test]
fn ports_shifts_default_addresses_only() {
    let shifted = |text: &str| defaults::shifted(text.to_owned(), 1000);
    assert_eq!(shifted("127.0.0.1:8080"), "127.0.0.1:9080");
    assert_eq!(shifted("127.0.0.1:9100"), "127.0.0.1:10100");
    assert_eq!(shifted("127.0.0.1:8081"), "127.0.0.1:8081");
    assert_eq!(shifted("nginx:8080"), "nginx:8080");
}

#[test]
fn default_addresses_can_all_be_shifted() {
    let cli = Cli::command();
    for (command, flags) in [
        ("up", &["--front", "--sync", "--async", "--metrics"][..]),
        ("experiment", &["--url", "--sync", "--async", "--metrics"]),
    ] {
        for flag in flags {
            let default = default_of(cli.find_subcommand(command).unwrap(), flag);
            let default = default.trim_start_matches("http://").to_owned();
            assert_ne!(
                defaults::shifted(default.clone(), 1),
                default,
                "{command} {flag}"
            );
        }
    }
}

/// Returns the flags of a README table row and their defaults, one for each.
fn flags_and_defaults(row: &str) -> Vec<(String, String)> {
    let mut cells = row.trim_matches('|').split('|').map(str::trim);
    let mut list = || -> Vec<String> {
        let cell = cells.next().unwrap_or_default();
        let parts = cell.split(", ").map(|part| part.replace('`', ""));
        parts.collect()
    };
    let (flags, mut defaults) = (list(), list());
    let first = defaults[0].clone();
    defaults.resize(flags.len(), first);
    flags.into_iter().zip(defaults).collect()
}

/// Returns a default as `--help` shows it: no unit, bytes and seconds in full.
fn plain(default: &str) -> String {
    let (number, unit) = default.split_once(' ').unwrap_or((default, ""));
    let factor = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => 1,
    };
    match number.replace(',', "").parse::<u64>() {
        Ok(number) => (number * factor).to_string(),
        Err(_) if default == "none" => String::new(),
        Err(_) => default.to_owned(),
    }
}

fn default_of(command: &Command, flag: &str) -> String {
    let arguments = command.get_arguments();
    let argument = arguments
        .into_iter()
        .find(|argument| argument.get_long() == Some(flag.trim_start_matches('-')));
    let argument = argument.unwrap_or_else(|| panic!("{} has no {flag}", command.get_name()));
    let values = argument.get_default_values().iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn defaults_in_the_readme_are_those_of_the_flags() {
    let cli = Cli::command();
    let command = |name| cli.find_subcommand(name).unwrap();
    let mut checked = 0;
    let mut is_of_experiment = false;
    let readme = include_str!("../../README.md");
    for row in readme.lines().filter(|line| line.starts_with("| `--")) {
        // The second table has the flags of `experiment`.
        is_of_experiment |= row.starts_with("| `--url`");
        for (flag, default) in flags_and_defaults(row) {
            let command = match flag.as_str() {
                _ if is_of_experiment => command("experiment"),
                "--listen" => command("serve"),
                "--log" => &cli,
                _ => command("up"),
            };
            let (actual, documented) = (default_of(command, &flag), plain(&default));
            // Of a second address on the same host only the port is written.
            assert!(
                actual == documented
                    || documented.starts_with(':') && actual.ends_with(&documented),
                "{flag}: README says {default:?}, the default is {actual:?}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} flags found in README.md");
}

#[test]
fn only_addresses_to_listen_on_may_be_subnets() {
    let parse = |arguments: &[&str]| {
        let arguments = ["threadlab"].iter().chain(arguments);
        Cli::try_parse_from(arguments).map_err(|error| error.to_string())
    };
    for subnet in ["10.1.0.0/24:8000", "[fd00:1::/64]:8000"] {
        assert!(parse(&["serve", "sync", "--listen", subnet]).is_ok());
        assert!(parse(&["up", "--metrics", subnet]).is_ok());
        let error = parse(&["experiment", "article", "--sync", subnet]).unwrap_err();
        assert!(error.contains("expected HOST:PORT"), "{error}");
    }
    let error = parse(&["serve", "sync", "--listen", "10.1.0.0/33:8000"]).unwrap_err();
    assert!(error.contains("expected SUBNET:PORT"), "{error}");
}
