//! The values of a parameter of the query string.

use axum::extract::Query;
use axum::http::StatusCode;
use axum::http::request::Parts;

use thread_states::problem::{Parameter, Problem};

/// Returns the values of the parameter with this name. Other parameters are ignored, because load generators add some
/// to defeat caches.
///
/// # Errors
///
/// If the query string is malformed.
pub(super) fn values(parts: &Parts, name: &str) -> Result<Vec<String>, Problem> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let named = pairs.into_iter().filter(|(found, _)| found == name);
    Ok(named.map(|(_, value)| value).collect())
}

/// Returns the response to a parameter that violates `rule`.
pub(super) fn rejected(
    detail: String,
    name: &'static str,
    value: String,
    rule: impl Into<String>,
) -> Problem {
    let rule = rule.into();
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    problem.with_parameter(Parameter { name, value, rule })
}
