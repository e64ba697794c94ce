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
    let script = format!(
        "const wait = document.getElementById('wait');
         wait.value = {seconds};
         wait.dispatchEvent(new Event('input'));"
    );
    browser.run(&script).await;
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
    let before = lab.scrape();

    set_wait(&browser, 3).await;
    browser.click("#run").await;
    // While `/` waits, `/dummy` is in the accept queue of one server; the other has responded long ago.
    let facts = |server: usize, fact: &str| {
        format!(
            "return document.querySelectorAll('.server')[{server}].querySelector('.{fact}').textContent"
        )
    };
    tokio::time::sleep(Duration::from_millis(1_800)).await;
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

    let counting = browser.text("#times b").await;
    assert!(counting.ends_with(" s"), "it counts up: {counting}");
    let quick = browser.text("#times [data-server=async]").await;
    assert!(quick.ends_with(" ms"), "async has responded: {quick}");

    let verdict = browser.verdict().await;
    assert_verdict(&verdict, 2.3..4.0);
    for server in ["sync", "async"] {
        let shown = browser
            .text(&format!("#times [data-server={server}]"))
            .await;
        assert!(
            verdict.contains(&format!("took {shown} on")),
            "{shown}: {verdict}"
        );
    }
    let ratio = browser.text(".ratio").await;
    assert!(ratio.ends_with(" times sooner"), "{ratio}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_shares(&browser, &before, &lab.scrape()).await;
    let names = accessible_names(&browser).await;
    let has = |words: &str| names.iter().any(|name| name.contains(words));
    assert!(
        has("whose only thread was held"),
        "the verdict is in the tree"
    );
    assert!(has("The states of sync-0 over the last 60 s"));
    assert!(has("held 3.0"), "{names:?}");
    assert!(has("awaited 3.0"), "{names:?}");
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
    assert!(verdict.contains("whose only thread was held"), "{verdict}");
    let (quick, _) = asynchronous
        .split_once(" on the asynchronous server")
        .unwrap();
    assert!(
        quick.contains("under 1 ms") || took(quick) < 1.0,
        "{verdict}"
    );
    assert!(verdict.contains("whose only thread was free"), "{verdict}");
}

/// Asserts that the shares beside the lanes are those in `/metrics` for the same time.
async fn assert_shares(browser: &Browser, before: &Scrape, after: &Scrape) {
    for (index, server) in ["sync", "async"].into_iter().enumerate() {
        let shown = shares(browser, index).await;
        assert!((shown.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{shown:?}");
        for (state, shown) in STATES.into_iter().zip(shown) {
            let counted = after.share(before, server, state);
            assert!(
                (shown - counted).abs() < 0.07,
                "{server} {state}: the page shows {shown:.3}, the metrics say {counted:.3}"
            );
        }
    }
    let [.., blocked, awaiting, _] = shares(browser, 0).await;
    assert!(
        blocked > 0.2 && awaiting < 0.05,
        "sync: {blocked} {awaiting}"
    );
    let [.., blocked, awaiting, _] = shares(browser, 1).await;
    assert!(
        awaiting > 0.2 && blocked < 0.05,
        "async: {blocked} {awaiting}"
    );
}

/// Asserts that each lane has the colour of the state during the wait.
async fn assert_painted(browser: &Browser) {
    let painted = browser
        .run(
            "return [...document.querySelectorAll('.threads canvas')].map((canvas) => {
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
    // 3 s are a twentieth of a lane, and the pattern covers part of the colour.
    assert!(
        part(0, "blocked") > 0.015 && part(0, "awaiting") < 0.005,
        "{painted}"
    );
    assert!(
        part(1, "awaiting") > 0.015 && part(1, "blocked") < 0.005,
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
    set_wait(&browser, 1).await;
    let front = lab.front.clone();
    let other = std::thread::spawn(move || get(&front, "/sync/blocking?seconds=3"));
    browser
        .until("return document.querySelector('.active').textContent === '1'")
        .await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    assert_eq!(other.join().unwrap().status, 200);
    assert!(verdict.contains("held by other requests"), "{verdict}");
    assert!(verdict.contains("whose only thread was free"), "{verdict}");
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
        let message = browser.text("#verdict").await;
        assert!(message.contains("from 1 to 60"), "{bad}: {message}");
    }
    assert_eq!(browser.text(".active").await, "0");
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
    let size = json!({ "width": 1280, "height": 1200, "deviceScaleFactor": 1, "mobile": false });
    browser
        .devtools("Emulation.setDeviceMetricsOverride", size)
        .await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    set_wait(&browser, 20).await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    assert_verdict(&verdict, 19.3..22.0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    browser.picture("readme").await;
    browser.close().await;
}
