//! OpenAPI schema of [`thread_states::problem::Problem`]; the library itself does not depend on utoipa.
//!
//! The types here mirror the library's, field by field; only their schemas are used. A test compares
//! them with a serialised problem.

#![allow(dead_code, reason = "only the schemas of these types are used")]

use utoipa::ToSchema;

/// An error response (RFC 9457, section 3.1). Its `type` is `about:blank` and therefore omitted, as
/// section 3.1.1 allows: the status is the type of the problem.
#[derive(ToSchema)]
pub(super) struct Problem {
    /// The reason phrase of the status, e.g. `Not Found`.
    title: &'static str,
    /// The HTTP status code, 400 to 599.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// One sentence with the cause and the allowed values.
    detail: String,
    /// Extension member: the request parameter that was rejected, if there was one.
    #[schema(nullable = false)]
    parameter: Option<Parameter>,
}

/// A rejected parameter of a request.
#[derive(ToSchema)]
struct Parameter {
    /// Name, e.g. `seconds`.
    name: &'static str,
    /// Value as it was sent.
    value: String,
    /// Allowed values, e.g. `a number from 0 to 300`.
    rule: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::StatusCode;
    use thread_states::problem;
    use utoipa::PartialSchema;

    use super::*;

    fn members(json: &serde_json::Value) -> BTreeSet<String> {
        json.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_schemas_have_the_members_of_a_problem() {
        let parameter = problem::Parameter {
            name: "seconds",
            value: "-1".to_owned(),
            rule: "a number from 0 to 300".to_owned(),
        };
        let problem =
            problem::Problem::new(StatusCode::BAD_REQUEST, "no").with_parameter(parameter);
        let problem = serde_json::from_str(&problem.to_json()).unwrap();
        let schema = serde_json::to_value(Problem::schema()).unwrap();
        assert_eq!(members(&schema["properties"]), members(&problem));
        let schema = serde_json::to_value(Parameter::schema()).unwrap();
        assert_eq!(
            members(&schema["properties"]),
            members(&problem["parameter"])
        );
    }
}
