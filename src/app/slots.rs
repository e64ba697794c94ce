//! The parameter `slots`: the number of queries that the database runs at the same time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::openapi::path::{Parameter as ApiParameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required, Response};
use utoipa::{IntoParams, IntoResponses};

use super::parameter::{ParameterError, value};
use super::rejection;
use crate::database::MAX_SLOTS;
use thread_states::problem::Problem;

const NAME: &str = "slots";

/// Number of queries with this parameter that the database runs at the same time: 1 to [`MAX_SLOTS`]. Default: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slots(Option<NonZeroU32>);

impl Slots {
    /// Returns the limit, if there is one.
    pub(super) fn get(self) -> Option<NonZeroU32> {
        self.0
    }
}

fn out_of_range(text: &str) -> ParameterError {
    ParameterError::OutOfRange {
        name: NAME,
        rule: format!("an integer from 1 to {MAX_SLOTS}"),
        value: text.to_owned(),
    }
}

impl FromStr for Slots {
    type Err = ParameterError;

    fn from_str(text: &str) -> Result<Self, ParameterError> {
        let slots = text.parse().ok();
        let slots = slots.filter(|slots: &NonZeroU32| *slots <= MAX_SLOTS);
        match slots {
            Some(_) => Ok(Self(slots)),
            None => Err(out_of_range(text)),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Slots {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        value(parts, NAME)
    }
}

impl IntoParams for Slots {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<ApiParameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(1))
            .maximum(Some(MAX_SLOTS.get()));
        vec![
            ParameterBuilder::new()
                .name(NAME)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(format!(
                    "Number of queries with this parameter that the database runs at the same time, 1 to {MAX_SLOTS}; \
                     the others wait within the database, with their connection. Without it, there is no limit."
                )))
                .schema(Some(schema))
                .build(),
        ]
    }
}

/// The response to an invalid `seconds` or `slots`, for the OpenAPI document.
pub(super) struct QueryRejected;

impl IntoResponses for QueryRejected {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        rejection::described([(
            "422",
            "`seconds` or `slots` is not a number, out of range, or given more than once.",
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_integers_in_the_range() {
        for (text, slots) in [("1", 1), ("05", 5), ("1000", 1000)] {
            let parsed: Slots = text.parse().unwrap();
            assert_eq!(parsed.get().map(NonZeroU32::get), Some(slots), "{text}");
        }
    }

    #[test]
    fn rejects_everything_else() {
        for text in [
            "",
            "0",
            "-1",
            "1001",
            "4294967296",
            "1.5",
            "five",
            "٣",
            " 1",
        ] {
            let error = ParameterError::OutOfRange {
                name: "slots",
                rule: "an integer from 1 to 1000".to_owned(),
                value: text.to_owned(),
            };
            assert_eq!(text.parse::<Slots>(), Err(error));
        }
    }
}
