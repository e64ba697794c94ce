//! The parameter `seconds`: how long a request is to take.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use utoipa::openapi::path::{Parameter as ApiParameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required, Response};
use utoipa::{IntoParams, IntoResponses};

use super::refusal;
use thread_states::problem::{Parameter, Problem};

const NAME: &str = "seconds";

/// The largest value of [`Seconds`].
pub const MAX_SECONDS: f64 = 300.0;

/// How long a request is to take: 0 to 300 s, 20 s (the article's) by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(Duration);

impl Seconds {
    /// The time.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Default for Seconds {
    fn default() -> Self {
        Self(Duration::from_secs(20))
    }
}

/// Why a request's `seconds` was refused; each variant holds what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecondsError {
    /// Not a finite decimal number, or not within the bounds.
    #[error("{NAME} must be a number from 0 to {MAX_SECONDS}")]
    OutOfRange(String),
    /// Given more than once: the values, with commas between.
    #[error("{NAME} must be given at most once")]
    Repeated(String),
}

impl FromStr for Seconds {
    type Err = SecondsError;

    fn from_str(text: &str) -> Result<Self, SecondsError> {
        text.parse()
            .ok()
            .filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Self)
            .ok_or_else(|| SecondsError::OutOfRange(text.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Seconds {
    type Rejection = Problem;

    /// Takes `seconds` from the query and ignores the others: they mean nothing here, and load
    /// generators like to add some.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        let values: Vec<String> = pairs
            .into_iter()
            .filter_map(|(name, value)| (name == NAME).then_some(value))
            .collect();
        match values.as_slice() {
            [] => Ok(Self::default()),
            [value] => Ok(value.parse()?),
            several => Err(SecondsError::Repeated(several.join(",")).into()),
        }
    }
}

impl From<SecondsError> for Problem {
    fn from(error: SecondsError) -> Self {
        let (rule, value) = match &error {
            SecondsError::OutOfRange(value) => (format!("a number from 0 to {MAX_SECONDS}"), value),
            SecondsError::Repeated(values) => ("at most one value".to_owned(), values),
        };
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).with_parameter(
            Parameter {
                name: NAME,
                value: value.clone(),
                rule,
            },
        )
    }
}

impl IntoParams for Seconds {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<ApiParameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Number)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
            .minimum(Some(0.0))
            .maximum(Some(MAX_SECONDS))
            .default(Some(Self::default().get().as_secs_f64().into()));
        vec![
            ParameterBuilder::new()
                .name(NAME)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(format!(
                    "How long it is to take, in seconds, 0 to {MAX_SECONDS}."
                )))
                .schema(Some(schema))
                .build(),
        ]
    }
}

/// The answer to a bad `seconds`, for the API's document.
pub(super) struct SecondsRefused;

impl IntoResponses for SecondsRefused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusal::described([(
            "422",
            "`seconds` is not a number, out of its bounds, or given twice.",
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_finite_numbers_within_the_bounds() {
        for (text, millis) in [("0", 0), ("-0", 0), ("0.25", 250), ("1e1", 10_000)] {
            let seconds: Seconds = text.parse().unwrap();
            assert_eq!(seconds.get(), Duration::from_millis(millis), "{text}");
        }
        let most: Seconds = "300".parse().unwrap();
        assert_eq!(most.get(), Duration::from_secs(300));
    }

    #[test]
    fn refuses_all_else() {
        for text in [
            "", " ", "abc", "1s", "0x10", "1,5", "NaN", "inf", "-inf", "1e400", "-0.001",
            "300.001", "301", "٣",
        ] {
            assert_eq!(
                text.parse::<Seconds>(),
                Err(SecondsError::OutOfRange(text.to_owned()))
            );
        }
    }
}
