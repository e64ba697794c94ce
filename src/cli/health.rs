//! `threadlab health`: a health check of a URL.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http::{StatusCode, Uri};
use tokio::runtime;
use tokio::time::timeout;

use crate::experiment::client;

/// Time after which a health check has failed.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn check(url: &Uri) -> anyhow::Result<ExitCode> {
    let (Some("http"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        bail!("invalid URL {url}: expected http://HOST[:PORT]/PATH");
    };
    let host = authority.host();
    let address = format!("{host}:{}", authority.port_u16().unwrap_or(80));
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let response = runtime.block_on(async {
        timeout(DEADLINE, client::get(&address, authority.as_str(), path)).await
    });
    let response = response
        .with_context(|| format!("no response from {url} within {DEADLINE:?}"))?
        .with_context(|| format!("cannot reach {url}"))?;
    if response.status != StatusCode::OK {
        bail!("{url} returned {}, not 200", response.status);
    }
    Ok(ExitCode::SUCCESS)
}
