//! Statements for PostgreSQL.

/// Sleeps for `$1` seconds.
pub(super) const SLEEP: &str = "SELECT pg_sleep($1)";

/// Waits for the advisory lock of slot `$2`, then sleeps for `$1` seconds. The lock is released at the end of the
/// statement, also if that is cancelled. The first key, an arbitrary number, avoids conflicts with the advisory locks of
/// other programs. `MATERIALIZED`: otherwise the order of the two calls would be the planner's choice.
pub(super) const SLEEP_IN_SLOT: &str = "WITH slot AS MATERIALIZED (SELECT pg_advisory_xact_lock(1953000805, $2)) \
                                        SELECT pg_sleep($1) FROM slot";
