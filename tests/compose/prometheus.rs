//! Queries to a running Prometheus.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::get_with;

pub struct Prometheus {
    address: String,
}

impl Prometheus {
    pub fn at(address: String) -> Self {
        Self { address }
    }

    /// The time by its own clock, in seconds since 1970.
    pub fn now(&self) -> f64 {
        self.number("time()").unwrap()
    }

    /// The value of an expression that has one series.
    pub fn number(&self, expression: &str) -> Option<f64> {
        let data = self.query("query", &[("query", expression)]);
        let value = match data["resultType"].as_str() {
            Some("scalar") => &data["result"][1],
            _ => &data["result"][0]["value"][1],
        };
        value.as_str()?.parse().ok()
    }

    /// Returns whether the expression had a finite value at any second between two times.
    pub fn has_numbers(&self, expression: &str, (begin, end): (f64, f64)) -> bool {
        let (begin, end) = (begin.to_string(), end.to_string());
        let range = [
            ("query", expression),
            ("start", &begin),
            ("end", &end),
            ("step", "1"),
        ];
        let data = self.query("query_range", &range);
        let series = data["result"].as_array().unwrap().iter();
        let mut values = series.flat_map(|one| one["values"].as_array().unwrap());
        values.any(|pair| {
            pair[1]
                .as_str()
                .unwrap()
                .parse::<f64>()
                .unwrap()
                .is_finite()
        })
    }

    /// The names of all rules. Panics if the evaluation of any has failed.
    pub fn healthy_rules(&self) -> BTreeSet<String> {
        let data = self.query("rules", &[]);
        let groups = data["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        let name = |rule: &Value| {
            assert_eq!(rule["health"], "ok", "{rule}");
            rule["name"].as_str().unwrap().to_owned()
        };
        rules.map(name).collect()
    }

    fn query(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        let response = get_with(&format!("{}/api/v1/{what}", self.address), parameters);
        assert_eq!(response.status, 200, "{parameters:?}: {}", response.body);
        let mut body: Value = serde_json::from_str(&response.body).unwrap();
        body["data"].take()
    }
}
