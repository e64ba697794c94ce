//! An HTTP client that returns responses of any status, and panics if there is no response.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

/// A response whose body is text.
pub struct Response {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// Sends a `GET` request on a new connection.
pub fn get(url: &str) -> Response {
    get_with(url, &[])
}

/// Data of the first event of an event stream that never ends.
pub fn first_event(url: &str) -> Value {
    let mut response = ureq::get(url).call().unwrap();
    let lines = BufReader::new(response.body_mut().as_reader()).lines();
    let mut data = lines.filter_map(|line| line.unwrap().strip_prefix("data: ").map(str::to_owned));
    serde_json::from_str(&data.next().unwrap()).unwrap()
}

/// As [`get`], with query parameters.
pub fn get_with(url: &str, parameters: &[(&str, &str)]) -> Response {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let request = agent.get(url).query_pairs(parameters.iter().copied());
    let mut response = request.call().unwrap_or_else(|e| panic!("{url}: {e}"));
    let content_type = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    Response {
        status: response.status().as_u16(),
        content_type: content_type.unwrap_or_default().to_owned(),
        body: response
            .body_mut()
            .read_to_string()
            .unwrap_or_else(|e| panic!("{url}: {e}")),
    }
}
