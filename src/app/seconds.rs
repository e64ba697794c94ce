//! The parameter `seconds`: the duration of a request.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::openapi::path::{Parameter as ApiParameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required, Response};
use utoipa::{IntoParams, IntoResponses};

use super::parameter::{ParameterError, value};
use super::rejection;
use thread_states::problem::Problem;

const NAME: &str = "seconds";

/// Maximum of [`Seconds`].
pub const MAX_SECONDS: f64 = 300.0;

/// Duration of a request: 0 to 300 s. Default: 20 s, as in the article.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(Duration);

impl Seconds {
    /// Returns the duration.
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

fn out_of_range(text: &str) -> ParameterError {
    ParameterError::OutOfRange {
        name: NAME,
        rule: format!("a number from 0 to {MAX_SECONDS}"),
        value: text.to_owned(),
    }
}

impl FromStr for Seconds {
    type Err = ParameterError;

    fn from_str(text: &str) -> Result<Self, ParameterError> {
        text.parse()
            .ok()
            .filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Self)
            .ok_or_else(|| out_of_range(text))
    }
}

impl<S: Sync> FromRequestParts<S> for Seconds {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        value(parts, NAME)
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
                    "Duration of the request in seconds, 0 to {MAX_SECONDS}."
                )))
                .schema(Some(schema))
                .build(),
        ]
    }
}

/// The response to an invalid `seconds`, for the OpenAPI document.
pub(super) struct SecondsRejected;

impl IntoResponses for SecondsRejected {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        rejection::described([(
            "422",
            "`seconds` is not a number, out of range, or given more than once.",
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_finite_numbers_in_the_range() {
        for (text, millis) in [("0", 0), ("-0", 0), ("0.25", 250), ("1e1", 10_000)] {
            let seconds: Seconds = text.parse().unwrap();
            assert_eq!(seconds.get(), Duration::from_millis(millis), "{text}");
        }
        let most: Seconds = "300".parse().unwrap();
        assert_eq!(most.get(), Duration::from_secs(300));
    }

    #[test]
    fn rejects_everything_else() {
        for text in [
            "", " ", "abc", "1s", "0x10", "1,5", "NaN", "inf", "-inf", "1e400", "-0.001",
            "300.001", "301", "٣",
        ] {
            let error = ParameterError::OutOfRange {
                name: "seconds",
                rule: "a number from 0 to 300".to_owned(),
                value: text.to_owned(),
            };
            assert_eq!(text.parse::<Seconds>(), Err(error));
        }
    }
}
