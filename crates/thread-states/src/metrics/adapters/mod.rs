//! The metrics in other libraries: each file is for one, and compiled with the feature of its name. `facade` is for the
//! crate `metrics`.

#[cfg(feature = "metrics")]
mod facade;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
#[cfg(feature = "prometheus")]
mod prometheus;
#[cfg(feature = "prometheus-client")]
mod prometheus_client;
