//! The stack of `docker-compose.yml` in Docker: nginx, both servers, PostgreSQL, Prometheus and the nginx exporter.
//!
//! The tests share one stack, which takes half a minute to start, and run one after another. That is why this is not a
//! standard test harness: it removes the stack after the last test. Grafana takes part if its image is present; if it
//! is not, the tests print so.

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
mod load;
mod losses;
mod memory;
mod prometheus;
#[path = "../../crates/thread-states/tests/common/quiet.rs"]
mod quiet;
mod replicas;
mod stack;
mod swarm;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};

use http::get;

fn main() -> ExitCode {
    /// The tests of the functions in a list, by their names.
    macro_rules! tests {
        ($run:expr; $($module:ident::$test:ident)*) => {
            [$(trial(concat!(stringify!($module), "::", stringify!($test)), || $run($module::$test))),*]
        };
    }
    let mut arguments = Arguments::from_args();
    // They share the stack.
    arguments.test_threads = Some(1);
    let alone = tests! { |test: fn()| test();
        configuration::every_configuration_file_is_valid
        confinement::the_image_holds_one_program_and_nothing_else
        first_run::no_two_services_build_one_tag
        first_run::images_have_the_pinned_versions_or_the_difference_is_printed
        first_run::requests_reach_the_servers_in_networks_with_ipv6
        disk::a_prometheus_with_a_full_disk_is_found_by_the_doctor
        first_run::builds_of_all_services_at_once_succeed
        losses::rolling_restarts_lose_no_request
        losses::reloads_and_kills_lose_no_request
        swarm::updates_and_a_killed_task_lose_no_request_in_a_swarm
    };
    // Those that change the number or the addresses of the servers come last.
    let shared = tests! { stack::on_shared;
        confinement::containers_are_healthy_and_confined
        confinement::only_nginx_reaches_the_servers
        confinement::only_the_servers_reach_the_database_and_not_as_superuser
        confinement::only_this_machine_reaches_the_stack
        experiment::the_article_is_confirmed_through_nginx
        experiment::experiments_are_confirmed_through_nginx_and_seen_in_prometheus
        database::a_killed_database_gives_clear_errors_and_full_recovery
        losses::a_rolling_restart_needs_two_replicas
        failover::a_restart_loses_no_request_and_an_outage_in_its_place_is_detected
        memory::ten_thousand_waits_fit_into_the_memory_of_nginx
        replicas::replicas_are_found_by_nginx_and_prometheus
        replicas::restarted_servers_are_found_at_their_new_addresses
        first_run::a_build_without_changes_recreates_no_container
        experiment::the_articles_programs_are_compared_with_the_servers
        experiment::nginx_is_watched_as_an_event_loop
        first_run::the_doctor_finds_a_killed_server
        first_run::the_health_check_of_nginx_fails_if_a_server_is_gone_but_not_if_it_is_blocked
    };
    if arguments.ignored && !arguments.list {
        eprintln!("{}", stack::engine());
    }
    let conclusion = libtest_mimic::run(&arguments, alone.into_iter().chain(shared).collect());
    stack::remove_shared();
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
