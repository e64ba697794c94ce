//! `threadlab health`: a health check of a URL.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::runtime;
use tokio::time::timeout;

/// Time after which a health check has failed.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn check(url: Uri) -> anyhow::Result<ExitCode> {
    if url.scheme_str() != Some("http") {
        bail!("invalid URL {url}: expected http://HOST[:PORT]/PATH");
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let response = timeout(DEADLINE, client.get(url.clone())).await;
        let response =
            response.with_context(|| format!("no response from {url} within {DEADLINE:?}"))?;
        anyhow::Ok(
            response
                .with_context(|| format!("cannot reach {url}"))?
                .status(),
        )
    })?;
    if status != StatusCode::OK {
        bail!("{url} returned {status}, not 200");
    }
    Ok(ExitCode::SUCCESS)
}
