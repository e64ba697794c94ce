//! The article's experiment: its verdict, its lanes, and the same in `/metrics`.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::lab::{Lab, STATES, Scrape, get};

/// Sums up layout shifts without user input, from the start of the page.
const WATCH_LAYOUT: &str = "
    window.shifted = 0;
    new PerformanceObserver((list) => {
        for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted += shift.value;
    }).observe({ type: 'layout-shift', buffered: true });";

/// The numbers that count up.
const SYNC_TOOK: &str = ".server:first-child .took";
const ASYNC_TOOK: &str = ".server:last-child .took";

/// Returns the shares of the first thread as the page shows them, by state.
async fn shares(browser: &Browser, server: usize) -> [f64; 5] {
    let script = format!(
        "const row = document.querySelectorAll('.server')[{server}].querySelector('.threads tr');
         return [...row.querySelectorAll('[data-share]')].map((cell) => Number(cell.dataset.share));"
    );
    let shares = browser.run(&script).await;
    serde_json::from_value(shares).unwrap()
}

/// Returns the names in the accessibility tree, in the order of the page.
async fn accessible_names(browser: &Browser) -> Vec<String> {
    let tree = browser
        .devtools("Accessibility.getFullAXTree", json!({}))
        .await;
    let nodes = tree["nodes"].as_array().unwrap();
    let name = |node: &Value| node["name"]["value"].as_str().map(str::to_owned);
    nodes.iter().filter_map(name).collect()
}

async fn set_wait(browser: &Browser, seconds: u32) {
    browser.set_wait(seconds).await;
    let line = browser.text(".requests-to-send code").await;
    assert!(
        line.ends_with(&format!("/sync/?seconds={seconds}'")),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn the_experiment_shows_why_one_thread_was_enough() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    browser.run(WATCH_LAYOUT).await;

    set_wait(&browser, 5).await;
    browser.click("#run").await;
    // While `/` waits, `/dummy` is in the accept queue of one server; the other has responded long ago.
    let facts = |server: usize, fact: &str| {
        format!(
            "return document.querySelectorAll('.server')[{server}].querySelector('.{fact}').textContent"
        )
    };
    let seconds =
        "return /^blocked [2-4] s on /.test(document.querySelector('.threads .now').textContent)";
    browser.until(seconds).await;
    let during = lab.scrape();
    for (index, server) in ["sync", "async"].into_iter().enumerate() {
        let active = during.value(&format!(
            r#"http_server_active_requests{{server="{server}"}}"#
        ));
        assert_eq!(active, 1.0, "{server}");
        assert_eq!(browser.run(&facts(index, "active")).await, "1", "{server}");
        let length = during.value(&format!(r#"tcp_accept_queue_length{{server="{server}"}}"#));
        let limit = during.value(&format!(r#"tcp_accept_queue_limit{{server="{server}"}}"#));
        assert_eq!(length, if server == "sync" { 1.0 } else { 0.0 });
        assert_eq!(
            browser.run(&facts(index, "queue")).await,
            format!("{length} of {limit}")
        );
    }
    let names = accessible_names(&browser).await;
    let has = |words: &str| names.iter().any(|name| name.contains(words));
    assert!(
        has("/dummy: queued, not started by a thread yet"),
        "{names:?}"
    );
    assert!(has("now held"), "{names:?}");
    assert!(has("now awaited"), "{names:?}");

    let counting = browser.text(SYNC_TOOK).await;
    assert!(counting.ends_with(" s"), "it counts up: {counting}");
    let quick = browser.text(ASYNC_TOOK).await;
    assert!(quick.ends_with(" ms"), "async has responded: {quick}");
    assert_places(&browser).await;
    let lit = "return [...document.querySelectorAll('.code [data-state]')].map(({ dataset, textContent }) => `${dataset.state}: ${textContent.trim()}`)";
    assert_eq!(
        browser.run(lit).await,
        json!([
            "blocked: tokio::time::sleep(seconds.get()).await;",
            "awaiting: tokio::time::sleep(seconds.get()).await;"
        ])
    );
    let ends =
        "return [...document.querySelectorAll('.axis')].map((axis) => axis.lastChild.textContent)";
    assert_eq!(
        browser.run(ends).await,
        json!(["7 s", "7 s"]),
        "5 s and 2 s"
    );

    let verdict = browser.verdict().await;
    assert_verdict(&verdict, 4.3..6.0);
    for took in [SYNC_TOOK, ASYNC_TOOK] {
        let shown = browser.text(took).await;
        assert!(
            verdict.contains(&format!("took {shown} on")),
            "{shown}: {verdict}"
        );
    }
    let why = browser.text(".server:last-child .why").await;
    assert!(
        why.contains(" times sooner: its only thread was free"),
        "{why}"
    );
    // No handler waits any more, which the page learns with the next event.
    browser
        .until("return document.querySelector('.code [data-state]') === null")
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_shares(&browser, &lab.scrape()).await;
    let names = accessible_names(&browser).await;
    let has = |words: &str| names.iter().any(|name| name.contains(words));
    assert!(
        has("its only thread was held"),
        "the verdict is in the tree"
    );
    assert!(has("The states of sync-0 over the time shown"));
    assert!(has("held 5.0"), "{names:?}");
    assert!(has("awaited 5.0"), "{names:?}");
    assert_painted(&browser).await;
    let shifted = browser.run("return window.shifted").await;
    assert!(
        shifted.as_f64().unwrap() < 0.05,
        "the layout moved: {shifted}"
    );
    browser.picture("experiment").await;
    browser.close().await;
}

/// Asserts that the verdict has both measured times: one near the whole wait, one near zero.
fn assert_verdict(verdict: &str, late: Range<f64>) {
    let (sync, asynchronous) = verdict.split_once(" on the synchronous server").unwrap();
    let took = |clause: &str| -> f64 {
        let (_, time) = clause.rsplit_once("took ").unwrap();
        let mut words = time.split_whitespace();
        let number: f64 = words.next().unwrap().parse().unwrap();
        if words.next() == Some("ms") {
            number / 1e3
        } else {
            number
        }
    };
    assert!(late.contains(&took(sync)), "{verdict}");
    assert!(verdict.contains("its only thread was held"), "{verdict}");
    let (quick, _) = asynchronous
        .split_once(" on the asynchronous server")
        .unwrap();
    assert!(
        quick.contains("under 1 ms") || took(quick) < 1.0,
        "{verdict}"
    );
    assert!(verdict.contains("its only thread was free"), "{verdict}");
}

/// Asserts that each request stands where it is: `/dummy` in the queue of the synchronous server, `/` on a thread of
/// it, and on none of the asynchronous one.
async fn assert_places(browser: &Browser) {
    let places = "return [...document.querySelectorAll('.server')].map((server) =>
        ['queue', 'thread', 'free'].map((place) => {
            const tokens = server.querySelector(`.${place}-place .tokens`);
            return [...tokens.children].map(({ textContent }) => textContent.split(' ')[0]).join();
        }))";
    assert_eq!(
        browser.run(places).await,
        json!([["/dummy", "/", ""], ["", "", "/"]])
    );
}

/// Asserts that the shares beside the lanes are those in `/metrics`, which the server has recorded from its start on.
async fn assert_shares(browser: &Browser, after: &Scrape) {
    for (index, server) in ["sync", "async"].into_iter().enumerate() {
        let shown = shares(browser, index).await;
        assert!((shown.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{shown:?}");
        for (state, shown) in STATES.into_iter().zip(shown) {
            let counted = after.state(server, state) / after.wall(server);
            assert!(
                (shown - counted).abs() < 0.07,
                "{server} {state}: the page shows {shown:.3}, the metrics say {counted:.3}"
            );
        }
    }
    let [.., blocked, awaiting, _] = shares(browser, 0).await;
    assert!(
        blocked > 0.1 && awaiting < 0.05,
        "sync: {blocked} {awaiting}"
    );
    let [.., blocked, awaiting, _] = shares(browser, 1).await;
    assert!(
        awaiting > 0.1 && blocked < 0.05,
        "async: {blocked} {awaiting}"
    );
}

/// Asserts that each lane has the colour of the state during the wait.
async fn assert_painted(browser: &Browser) {
    let painted = browser
        .run(
            "return [...document.querySelectorAll('.threads .lane canvas')].map((canvas) => {
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                const count = ([r, g, b]) => {
                    let found = 0;
                    for (let i = 0; i < data.length; i += 4) {
                        if (data[i] === r && data[i + 1] === g && data[i + 2] === b) found += 1;
                    }
                    return found / (data.length / 4);
                };
                return { blocked: count([0xF2, 0x49, 0x5C]), awaiting: count([0x57, 0x94, 0xF2]) };
            });",
        )
        .await;
    let part = |lane: usize, state: &str| painted[lane][state].as_f64().unwrap();
    // The lane shows 5 s, 3 of them of the wait, and the pattern covers part of the colour.
    assert!(
        part(0, "blocked") > 0.25 && part(0, "awaiting") < 0.005,
        "{painted}"
    );
    assert!(
        part(1, "awaiting") > 0.25 && part(1, "blocked") < 0.005,
        "{painted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn with_more_threads_the_verdict_names_another_reason() {
    let lab = Lab::start(&["--threads", "2"]);
    let browser = Browser::open(&lab.front).await;
    set_wait(&browser, 2).await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    assert!(verdict.contains("another of its 2 threads"), "{verdict}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn with_other_clients_on_the_thread_the_verdict_names_them() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    set_wait(&browser, 2).await;
    let front = lab.front.clone();
    let other = std::thread::spawn(move || get(&front, "/sync/blocking?seconds=4"));
    browser
        .until("return document.querySelector('.active').textContent === '1'")
        .await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    assert_eq!(other.join().unwrap().status, 200);
    assert!(verdict.contains("held by other requests"), "{verdict}");
    assert!(verdict.contains("its only thread was free"), "{verdict}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_wait_out_of_range_is_rejected_with_the_rule() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    for bad in ["0", "61", "1.5", ""] {
        browser
            .run(&format!("document.getElementById('wait').value = '{bad}'"))
            .await;
        browser.click("#run").await;
        let message = browser.text("#status").await;
        assert!(message.contains("from 1 to 60"), "{bad}: {message}");
    }
    assert_eq!(browser.text(".active").await, "0");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_blocking_handler_stops_the_event_loop_and_the_result_can_be_copied() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    let wanted = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", wanted).await;
    set_wait(&browser, 2).await;
    browser
        .run(
            "document.querySelectorAll('[name=kind]')[1].click();
             const guess = document.getElementById('guess');
             guess.value = 0.1;
             guess.dispatchEvent(new Event('input'));",
        )
        .await;
    let line = browser.text(".requests-to-send code").await;
    assert!(line.ends_with("/sync/blocking?seconds=2'"), "{line}");
    browser.click("#run").await;
    browser
        .until("return [...document.querySelectorAll('.code [data-state=blocked]')].filter(({ textContent }) => textContent.includes('thread::sleep')).length === 2")
        .await;
    let reason = browser.text("#status").await;
    assert_eq!(reason, "Running: watch the lanes.");
    let mark = browser
        .run("return getComputedStyle(document.querySelector('.guess')).left")
        .await;
    assert_ne!(mark, "0px", "the guess is marked");

    let verdict = browser.verdict().await;
    assert!(
        verdict.contains("blocked by GET\u{a0}/blocking: the event loop stood still"),
        "{verdict}"
    );
    assert!(!verdict.contains("times sooner"), "{verdict}");
    assert!(browser.text(ASYNC_TOOK).await.ends_with(" s"));
    browser
        .until("return document.getElementById('status').textContent.startsWith('Your guess: 1.')")
        .await;
    browser.click("#copy-result").await;
    browser
        .until("return document.getElementById('copy-result').textContent.includes('Copied')")
        .await;
    let copied = browser
        .run_async("return navigator.clipboard.readText()")
        .await;
    assert_eq!(copied, verdict.as_str());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_query_with_a_synchronous_driver_stops_the_event_loop() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    set_wait(&browser, 2).await;
    browser
        .run(
            "[...document.querySelectorAll('#waits .chip')]
                .find(({ textContent }) => textContent === 'database').firstElementChild.click()",
        )
        .await;
    let meaning = browser.text("#wait-meaning").await;
    assert_eq!(meaning, "A query with a synchronous driver.");
    browser.click("#run").await;
    browser
        .until(
            "const lit = [...document.querySelectorAll('.code [data-state=blocked]')];
             return lit.filter(({ textContent }) => textContent.includes('.query(')).length === 2",
        )
        .await;
    browser.picture("database").await;
    let verdict = browser.verdict().await;
    let reason = "blocked by GET\u{a0}/database/synchronous, whose driver is synchronous";
    assert_eq!(verdict.matches(reason).count(), 2, "{verdict}");
    assert!(
        verdict.contains(": the event loop stood still"),
        "{verdict}"
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_button_that_cannot_be_used_has_its_reason_beside_it() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    set_wait(&browser, 1).await;
    // In one script, while the request is in flight.
    let shown = browser
        .run(
            "document.querySelector('.send').click();
             const byId = (id) => document.getElementById(id);
             return [byId('run').ariaDisabled, byId('status').textContent];",
        )
        .await;
    assert_eq!(shown, json!(["true", "Waits for 1 request sent below."]));
    browser
        .until("return document.getElementById('run').ariaDisabled === 'false'")
        .await;
    assert_eq!(browser.text("#status").await, "");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn requests_of_other_clients_are_shown_and_counted() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    browser.send_dummy().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        browser.text("#others").await,
        "",
        "the page knows its own request"
    );
    assert_eq!(get(&lab.front, "/sync/dummy").status, 200);
    browser
        .until("return document.getElementById('others').textContent.includes('1 request')")
        .await;
    browser.close().await;
}

/// The article's 20 s, with a screenshot for the README.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn twenty_seconds_against_milliseconds() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    browser.resize(1280, 1200, 1).await;
    set_wait(&browser, 20).await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    assert_verdict(&verdict, 19.3..22.0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    browser.picture("readme").await;
    browser.close().await;
}
