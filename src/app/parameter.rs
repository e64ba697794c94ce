//! Parameters of the query string that have at most one value.

use std::str::FromStr;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::http::request::Parts;

use thread_states::problem::{Parameter, Problem};

/// Error of a parameter, with what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A value that violates the rule of the parameter.
    #[error("{name} must be {rule}")]
    OutOfRange {
        /// Name of the parameter.
        name: &'static str,
        /// Allowed values.
        rule: String,
        /// The value as it was sent.
        value: String,
    },
    /// Given more than once.
    #[error("{name} must be given at most once")]
    Repeated {
        /// Name of the parameter.
        name: &'static str,
        /// The values, separated by commas.
        values: String,
    },
}

impl From<ParameterError> for Problem {
    fn from(error: ParameterError) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
        let (name, value, rule) = match error {
            ParameterError::OutOfRange { name, rule, value } => (name, value, rule),
            ParameterError::Repeated { name, values } => (name, values, "at most one value".into()),
        };
        problem.with_parameter(Parameter { name, value, rule })
    }
}

/// Returns the value of the parameter with this name, or the default if it is not given. Other parameters are ignored,
/// because load generators add some to defeat caches.
///
/// # Errors
///
/// If the query string is malformed, or the value is not allowed or not the only one.
pub(super) fn value<T>(parts: &Parts, name: &'static str) -> Result<T, Problem>
where
    T: FromStr<Err = ParameterError> + Default,
{
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let named = pairs.into_iter().filter(|(found, _)| found == name);
    let values: Vec<String> = named.map(|(_, value)| value).collect();
    match values.as_slice() {
        [] => Ok(T::default()),
        [value] => Ok(value.parse()?),
        several => Err(ParameterError::Repeated {
            name,
            values: several.join(","),
        }
        .into()),
    }
}
