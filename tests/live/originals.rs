//! The page with the article's programs: stand-ins for them, watched from outside.

use std::time::Duration;

use serde_json::json;

use threadlab::flavor::Flavor;

use crate::behind::{Front, Original, Server};
use crate::browser::Browser;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn flask_and_fastapi_have_lanes_their_code_and_a_verdict() {
    let (sync, asynchronous) = (Server::start(Flavor::Sync), Server::start(Flavor::Async));
    let originals = [Original::start("flask"), Original::start("fastapi")];
    let front = Front::with_originals(&sync, &asynchronous, &originals);
    let browser = Browser::open(&front.address()).await;
    assert_eq!(
        browser.text("#other-servers").await,
        "Show Flask and FastAPI"
    );
    browser.click("#other-servers").await;
    browser
        .until("return document.querySelector('.server')?.ariaLabel === 'Flask'")
        .await;
    browser.connected().await;
    assert_eq!(
        browser.text("#other-servers").await,
        "Show the lab's servers"
    );
    let facts = browser
        .run(
            "const texts = (selector) => [...document.querySelectorAll(selector)].map(({ textContent }) => textContent);
             return { chips: texts('#waits .chip'), files: texts('.code .file'), lanes: texts('.threads .name'),
                compared: texts('#compared'), next: texts('#next') };",
        )
        .await;
    assert_eq!(
        facts,
        json!({
            "chips": ["await", "blocking", "offloaded", "database", "cpu"],
            "files": ["originals/flask/app.py, GET /", "originals/fastapi/app.py, GET /"],
            "lanes": ["flask-0", "fastapi-0"],
            "compared": ["These are the article's own programs."],
            "next": ["docker compose run --rm --no-deps experiment matrix --servers sync,async,flask,fastapi"],
        })
    );

    browser.set_wait(3).await;
    browser.click("#run").await;
    // Both wait: one in a system call with the request, the other in its event loop.
    browser
        .until(
            "const lit = [...document.querySelectorAll('.code [data-state]')]
                .map(({ dataset, textContent }) => `${dataset.state}: ${textContent.trim()}`).join();
             return lit === 'blocked: time.sleep(seconds(20)),awaiting: await asyncio.sleep(seconds)'",
        )
        .await;
    browser
        .until(
            "const places = [...document.querySelectorAll('.server')].map((server) =>
                ['queue', 'thread', 'free'].map((place) => [...server.querySelectorAll(`.${place}-place .token`)]
                    .map(({ textContent }) => textContent.split(' ')[0]).join()));
             return JSON.stringify(places) === '[[\"/dummy\",\"/\",\"\"],[\"\",\"\",\"/\"]]'",
        )
        .await;
    browser.picture("originals-during").await;

    let verdict = browser.verdict().await;
    assert!(
        verdict.contains(
            "on Flask: its only thread was held by GET\u{a0}/, although that only waited"
        ),
        "{verdict}"
    );
    assert!(
        verdict.contains("on FastAPI: its only thread was free"),
        "{verdict}"
    );
    let queued = browser
        .until(
            "const bar = [...document.querySelectorAll('.server:first-child .bars button')]
                .find(({ ariaLabel }) => ariaLabel.startsWith('/dummy') && ariaLabel.endsWith('status 200'));
             return bar && bar.ariaLabel",
        )
        .await;
    let queued = queued.as_str().unwrap();
    assert!(
        queued.contains(": queued 2."),
        "it stood in the queue of Flask, and held the thread only at the end: {queued}"
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    let shares = browser
        .run(
            "return [...document.querySelectorAll('.threads tr')].map((row) => ['blocked', 'awaiting']
                .map((state) => Number(row.querySelector(`[data-state=${state}]`).dataset.share) > 0.02))",
        )
        .await;
    assert_eq!(shares, json!([[true, false], [false, true]]));
    browser.close().await;
}
