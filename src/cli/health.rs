//! `threadlab health`: whether a URL answers 200.

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

/// A health check that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn check(url: Uri) -> anyhow::Result<ExitCode> {
    if url.scheme_str() != Some("http") {
        bail!("{url} is no URL of the form http://HOST[:PORT]/PATH");
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = timeout(DEADLINE, client.get(url.clone())).await;
        let answer = answer.with_context(|| format!("{url} did not answer within {DEADLINE:?}"))?;
        anyhow::Ok(
            answer
                .with_context(|| format!("{url} cannot be reached"))?
                .status(),
        )
    })?;
    if status != StatusCode::OK {
        bail!("{url} answered {status}, not 200");
    }
    Ok(ExitCode::SUCCESS)
}
