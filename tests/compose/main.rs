//! The stack of `docker-compose.yml` in Docker: nginx, both servers, PostgreSQL, Prometheus and the nginx exporter.
//!
//! Tests share stacks, which take 15 s to start. That is why this is not a standard test harness: it removes the stacks
//! after the last test. Grafana takes part if its image is present; if it is not, the tests print so.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test may fail, and nothing outside of it can reach in"
)]

mod configuration;
mod confinement;
#[path = "../common/dashboards.rs"]
mod dashboards;
mod database;
mod disk;
mod experiment;
mod failover;
mod first_run;
mod http;
mod lanes;
mod load;
mod losses;
mod memory;
mod prometheus;
#[path = "../../crates/thread-states/tests/common/quiet.rs"]
mod quiet;
mod replicas;
mod stack;
mod swarm;
mod times;
mod verdicts;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};

use http::get;
use lanes::{Lane, SharedStack};

/// Tests that leave the services as they are: confinement, experiments.
static EXPERIMENTS: SharedStack = SharedStack::named("experiments");
/// Tests that scale, stop, restart and fill the services.
static CHANGES: SharedStack = SharedStack::named("changes");
/// Tests that compare the article's programs.
static ORIGINALS: SharedStack = SharedStack::named("originals");
static FIRST_RUN: Lane = Lane::new();
static LOSSES: Lane = Lane::new();
static SWARM: Lane = Lane::new();

fn main() -> ExitCode {
    /// The tests of the functions in a lane, by their names.
    macro_rules! tests {
        ($($lane:ident { $($module:ident::$test:ident)* })*) => {
            vec![$($({
                let name = concat!(stringify!($module), "::", stringify!($test));
                trial(name, move || $lane.run(name, $module::$test))
            }),*),*]
        };
    }
    let tests = tests! {
        FIRST_RUN {
            disk::a_prometheus_with_a_full_disk_is_found_by_the_doctor
            configuration::every_configuration_file_is_valid
            confinement::the_image_holds_one_program_and_nothing_else
            first_run::no_two_services_build_one_tag
            first_run::images_have_the_pinned_versions_or_the_difference_is_printed
            first_run::requests_reach_the_servers_in_networks_with_ipv6
            first_run::builds_of_all_services_at_once_succeed
            first_run::a_build_without_changes_recreates_no_container
        }
        LOSSES {
            losses::rolling_restarts_lose_no_request
            losses::reloads_and_kills_lose_no_request
        }
        SWARM {
            swarm::updates_and_a_killed_task_lose_no_request_in_a_swarm
        }
        EXPERIMENTS {
            confinement::containers_are_healthy_and_confined
            confinement::only_nginx_reaches_the_servers
            confinement::only_the_servers_reach_the_database_and_not_as_superuser
            confinement::only_this_machine_reaches_the_stack
            experiment::the_article_is_confirmed_through_nginx
            experiment::experiments_are_confirmed_through_nginx_and_seen_in_prometheus
            experiment::nginx_is_watched_as_an_event_loop
        }
        CHANGES {
            database::a_killed_database_gives_clear_errors_and_full_recovery
            failover::a_restart_loses_no_request_and_an_outage_in_its_place_is_detected
            first_run::the_doctor_finds_a_killed_server
            first_run::the_health_check_of_nginx_fails_if_a_server_is_gone_but_not_if_it_is_blocked
            losses::a_rolling_restart_needs_two_replicas
            memory::ten_thousand_waits_fit_into_the_memory_of_nginx
            replicas::replicas_are_found_by_nginx_and_prometheus
            replicas::restarted_servers_are_found_at_their_new_addresses
        }
        ORIGINALS {
            experiment::the_articles_programs_are_compared_with_the_servers
        }
    };
    let mut arguments = Arguments::from_args();
    // All at once: each of them waits for its turn in its lane.
    arguments.test_threads = Some(tests.len());
    if arguments.ignored && !arguments.list {
        eprintln!("{}", stack::engine());
    }
    let conclusion = libtest_mimic::run(&arguments, tests);
    thread::scope(|scope| {
        for shared in [&EXPERIMENTS, &CHANGES, &ORIGINALS] {
            scope.spawn(|| shared.remove());
        }
    });
    swarm::leave();
    times::print();
    conclusion.exit_code()
}

/// A test that runs only with `--ignored`, because not every machine has Docker.
fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    let run = move || {
        test();
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(true)
}

/// Seconds for which a request to the waiting endpoint waits.
const WAIT: u64 = 5;

/// Duration of `GET /dummy` half a second after `waits` requests to the waiting endpoint.
fn dummy_behind_waits(front: &str, server: &str, waits: usize) -> Duration {
    let wait = format!("{front}/{server}/?seconds={WAIT}");
    let request = |_| {
        let wait = wait.clone();
        thread::spawn(move || get(&wait).status)
    };
    let waiting: Vec<_> = (0..waits).map(request).collect();
    thread::sleep(Duration::from_millis(500));

    let started = Instant::now();
    assert_eq!(get(&format!("{front}/{server}/dummy")).status, 200);
    let took = started.elapsed();
    for status in waiting {
        assert_eq!(status.join().unwrap(), 200);
    }
    took
}

/// Waits until a condition holds. Panics after 30 s.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "not within 30 s: {what}"
        );
        thread::sleep(Duration::from_millis(300));
    }
}
