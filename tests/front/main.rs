//! One test suite for both fronts, the embedded one and nginx.
//!
//! Clients and scripted servers run in the test's process, and read and write the bytes of HTTP
//! themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test may fail, and nothing outside of it can reach in"
)]

mod bodies;
mod connections;
mod embedded_only;
mod failures;
mod fields;
#[path = "../common/fronts/mod.rs"]
mod fronts;
mod nginx_metrics;
mod nginx_only;
mod rejections;
mod routes;

use fronts::{PAGE, TIMEOUT, backend, client, embedded, lab, message, nginx};

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
        only_the_prefix_is_removed
        a_missing_slash_is_added_by_redirect
        thread_states_come_from_the_metrics_port
        the_documentation_comes_from_the_metrics_port
        the_page_is_served
        the_page_is_compressed_if_the_client_accepts_it
        an_unchanged_page_gets_304
        the_page_allows_only_get_and_head
        other_paths_get_404
    }
    fields {
        origin_fields_are_added
        origin_fields_of_the_client_are_replaced
        other_spellings_of_the_fronts_fields_are_removed
        the_request_start_is_added
        a_request_start_of_the_client_is_replaced
        a_missing_request_id_is_created
        a_valid_request_id_is_forwarded
        an_invalid_request_id_is_replaced
        the_request_id_is_returned_once
        hop_by_hop_fields_of_requests_are_removed
        hop_by_hop_fields_of_responses_are_removed
        fields_named_by_connection_are_not_forwarded
        connection_cannot_remove_fields_of_the_front
        other_fields_are_forwarded
    }
    bodies {
        a_body_with_a_length_is_forwarded
        a_chunked_body_is_forwarded
        a_get_may_have_a_body
        a_body_waits_for_100_continue
        the_largest_allowed_body_is_forwarded
        an_upload_is_streamed
        a_response_is_streamed
        a_response_without_a_length_is_forwarded
        a_head_response_has_no_body
        a_missing_body_is_not_announced
        http_1_0_clients_get_responses
        a_large_response_is_forwarded
        an_early_response_is_forwarded
    }
    failures {
        a_dead_server_is_a_bad_gateway
        garbage_is_a_bad_gateway
        an_early_close_is_a_bad_gateway
        a_slow_server_is_a_gateway_timeout
        a_slow_request_is_not_repeated
        a_full_accept_queue_is_a_gateway_timeout
        error_responses_of_a_server_are_forwarded
        an_interrupted_response_is_not_completed
        a_stalled_response_is_not_completed
    }
    rejections {
        a_large_body_gets_413
        a_large_chunked_body_gets_413
        a_client_that_still_sends_gets_the_413
        a_close_after_an_unread_body_is_announced
        a_large_head_gets_431
        more_than_90_fields_get_431
        what_the_front_accepts_is_accepted_by_the_servers
        lawful_field_names_are_forwarded
        a_long_target_gets_414
        an_absolute_target_is_forwarded
        two_body_lengths_cannot_hide_a_request
        a_client_without_a_head_is_disconnected
        a_client_with_half_a_body_is_disconnected
    }
    connections {
        connections_to_the_async_server_are_reused
        connections_to_the_sync_server_are_not_reused
        a_connection_closed_by_the_server_is_not_used
        a_disconnect_closes_the_connection_to_the_server
        a_disconnect_ends_the_event_stream
        a_client_connection_is_reused
        pipelined_requests_get_responses_in_order
        waiting_requests_do_not_delay_others
    }
}
