//! One suite for both fronts: what is said here holds for the embedded one and for nginx.
//!
//! The servers behind them are scripted and live in the test's process, and so do the clients: all
//! write and read the bytes themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test may fail, and nothing outside of it can reach in"
)]

mod backend;
mod bodies;
mod client;
mod connections;
mod embedded;
mod embedded_only;
mod failures;
mod fields;
mod lab;
mod message;
mod nginx;
mod nginx_metrics;
mod nginx_only;
mod refusals;
mod routes;

use std::time::Duration;

/// How long a test waits for what must come; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A live page: path, file, media type, content.
const PAGE: [(&str, &str, &str, &str); 3] = [
    (
        "/",
        "index.html",
        "text/html; charset=utf-8",
        "<!doctype html><title>page</title>",
    ),
    (
        "/live/page.css",
        "page.css",
        "text/css; charset=utf-8",
        "body { color: black }",
    ),
    (
        "/live/page.js",
        "page.js",
        "text/javascript; charset=utf-8",
        "export const page = 1;",
    ),
];

/// Runs each case against both fronts.
macro_rules! both_fronts {
    ($($module:ident { $($case:ident)* })*) => {
        mod with_embedded {
            $(mod $module { $(
                #[test]
                fn $case() {
                    crate::$module::$case(crate::lab::Front::Embedded);
                }
            )* })*
        }
        mod with_nginx {
            $(mod $module { $(
                #[test]
                #[ignore = "needs nginx 1.30: run make test"]
                fn $case() {
                    crate::$module::$case(crate::lab::Front::Nginx);
                }
            )* })*
        }
    };
}

both_fronts! {
    routes {
        a_prefix_is_removed_and_nothing_else
        a_slash_is_added
        thread_states_come_from_the_metrics_port
        the_page_is_served
        the_page_is_compressed_for_who_takes_it
        the_page_is_not_sent_twice
        the_page_is_only_read
        nothing_else_is_reachable
    }
    fields {
        the_origin_is_told
        a_claimed_origin_is_replaced
        the_start_is_told
        a_claimed_start_is_replaced
        a_request_id_is_made
        a_sane_request_id_is_passed_on
        an_insane_request_id_is_replaced
        the_request_id_is_returned_once
        hop_by_hop_fields_of_requests_are_dropped
        hop_by_hop_fields_of_answers_are_dropped
        a_field_that_connection_names_is_not_passed_on
        connection_cannot_take_away_what_the_front_adds
        other_fields_pass
    }
    bodies {
        a_body_with_a_length_passes
        a_chunked_body_passes
        a_get_may_have_a_body
        a_body_waits_for_100_continue
        the_largest_body_passes
        an_upload_is_streamed
        an_answer_is_streamed
        an_answer_without_a_length_passes
        head_has_no_body
        no_body_stays_none
        http_1_0_gets_its_answer
        a_large_answer_passes
        an_early_answer_passes
    }
    failures {
        a_dead_server_is_a_bad_gateway
        garbage_is_a_bad_gateway
        an_early_close_is_a_bad_gateway
        a_slow_server_is_a_gateway_timeout
        a_slow_answer_is_not_asked_for_twice
        a_server_that_takes_no_connection_is_a_gateway_timeout
        errors_of_a_server_pass
        an_answer_that_breaks_off_is_not_completed
        an_answer_that_stalls_is_not_completed
    }
    refusals {
        a_large_body_is_refused
        a_large_body_without_a_length_is_refused
        a_client_that_still_sends_gets_the_refusal
        a_large_head_is_refused
        too_many_fields_are_refused
        a_long_target_is_refused
        a_malformed_head_is_refused
        a_malformed_body_is_refused
        a_host_is_needed
        connect_and_trace_are_refused
        two_lengths_are_one_request
        a_client_that_sends_no_head_is_let_go
        a_client_that_sends_half_a_body_is_let_go
    }
    connections {
        async_connections_are_kept
        sync_connections_are_not_kept
        a_connection_that_the_server_closed_is_not_used
        a_client_that_goes_away_is_told_to_the_server
        a_client_that_goes_away_ends_its_stream
        a_client_keeps_its_connection
        pipelined_requests_are_answered_in_order
        waiting_requests_hold_up_no_one
    }
}
