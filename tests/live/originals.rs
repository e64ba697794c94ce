//! The page with the article's programs: stand-ins for them, watched from outside.

use std::time::Duration;

use serde_json::json;

use threadlab::flavor::Flavor;

use crate::accessible::assert_accessible;
use crate::behind::{Front, Original, Server};
use crate::browser::Browser;

/// Follows the link to a server, and waits until the page shows it.
async fn choose(browser: &Browser, name: &str) {
    // The other server of the link is the one that is shown.
    let links = format!("#choice a:is([href*='?sync={name}&'], [href$='&async={name}'])");
    browser
        .run(&format!(
            "[...document.querySelectorAll(\"{links}\")].at(-1).click()"
        ))
        .await;
    browser
        .until(&format!(
            "return [...document.querySelectorAll('.threads .name')].some(({{ textContent }}) => textContent.startsWith('{name}-'))"
        ))
        .await;
    browser.connected().await;
}

/// Opens the page of a lab with these of the article's programs, which runs until the first value is dropped.
async fn open(names: &[&'static str]) -> ((Front, Vec<Original>, [Server; 2]), Browser) {
    let servers = [Server::start(Flavor::Sync), Server::start(Flavor::Async)];
    let originals: Vec<_> = names.iter().copied().map(Original::start).collect();
    let front = Front::with_originals(&servers[0], &servers[1], &originals);
    let browser = Browser::open(&front.address()).await;
    ((front, originals, servers), browser)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn flask_and_fastapi_have_lanes_their_code_and_a_verdict() {
    let (_behind, browser) = open(&["flask", "fastapi"]).await;
    choose(&browser, "flask").await;
    assert_eq!(
        browser.text("#compared").await,
        "One of these is the article's own program."
    );
    let files = browser
        .run("return [...document.querySelectorAll('.code .file')].map(({ textContent }) => textContent)")
        .await;
    let one_of_each = [
        "originals/flask/app.py, GET /",
        "src/app/endpoints.rs, GET /",
    ];
    assert_eq!(files, json!(one_of_each));
    choose(&browser, "fastapi").await;
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn gunicorn_is_offered_with_both_workers_and_servers_that_do_not_run_are_not_requested() {
    let (_behind, browser) = open(&["gunicorn", "gthread"]).await;
    let choice = "const texts = (root, selector) => [...root.querySelectorAll(selector)].map(({ textContent }) => textContent);
        return [...document.querySelectorAll('#choice p')].map((line) => [line.firstChild.textContent, texts(line, 'a'), texts(line, '[aria-current]')])";
    let servers = ["lab", "gunicorn", "gthread"];
    let offered = browser.run(choice).await;
    assert_eq!(offered, json!([["Synchronous:", servers, ["lab"]]]));

    choose(&browser, "gunicorn").await;
    let offered = browser.run(choice).await;
    assert_eq!(offered, json!([["Synchronous:", servers, ["gunicorn"]]]));
    browser.set_wait(2).await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    // The watcher also sees the process that started the worker.
    assert!(
        verdict.contains("on gunicorn: its only thread was held by GET\u{a0}/, although"),
        "{verdict}"
    );
    assert_eq!(
        browser.text(".server:first-child h2 small").await,
        "2 threads, 1 for requests"
    );
    // Once the time that is shown is over, which ends 2 s after the run, the page draws from a copy.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let bars = "return [document.querySelector('[name=shown]:checked').value,
        ...[...document.querySelectorAll('.server')].map((server) => server.querySelectorAll('.bars li').length)]";
    assert_eq!(browser.run(bars).await, json!(["run", 2, 2]));

    choose(&browser, "gthread").await;
    browser.set_wait(2).await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    assert!(
        verdict.contains("on gunicorn with gthread: it had another of its 4 threads for it"),
        "{verdict}"
    );
    assert!(!verdict.contains("times sooner"), "{verdict}");

    // The thread that computes is at work, not blocked.
    browser.click("#waits .chip:last-child input").await;
    browser.click("#run").await;
    browser
        .until(
            "const lit = document.querySelector('.server:first-child .code').dataset.state;
             return lit === 'running' || lit === 'runnable'",
        )
        .await;
    browser
        .until("return document.getElementById('verdict').textContent.includes('GET\u{a0}/cpu')")
        .await;

    let requested = browser
        .run(
            "return performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)
                .filter((path) => path.includes('flask') || path.includes('fastapi'))",
        )
        .await;
    assert_eq!(requested, json!([]));
    for scheme in ["light", "dark"] {
        for width in [1280, 360] {
            assert_accessible(&browser, scheme, width).await;
            browser.picture(&format!("gthread-{scheme}-{width}")).await;
        }
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn with_all_servers_the_button_and_both_lanes_are_on_the_first_screen_of_a_phone() {
    let (_behind, browser) = open(&["flask", "fastapi", "gunicorn", "gthread"]).await;
    for name in ["flask", "fastapi"] {
        choose(&browser, name).await;
    }
    browser.resize(360, 740, 1).await;
    browser.picture("all-servers-360").await;
    browser
        .assert_above("#choice, #run, .threads", 4, 740)
        .await;
    browser.close().await;
}
