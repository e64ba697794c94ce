//! Lost and restored connections, hidden and visible tabs.

use std::time::Duration;

use threadlab::flavor::Flavor;

use crate::behind::{Front, Server};
use crate::browser::Browser;
use crate::lab::Lab;

/// Returns whether the connection status overlaps the server's name.
const OVERLAP: &str = "
    const rectangle = (selector) => {
        const range = document.createRange();
        range.selectNodeContents(document.querySelector(selector));
        return range.getBoundingClientRect();
    };
    const [name, words] = [rectangle('.server h2'), rectangle('.connection')];
    return name.right > words.left && name.bottom > words.top;";

const LOST: &str = "Connection lost, trying again…";

fn connection(server: usize, is: &str) -> String {
    format!("return document.querySelectorAll('.connection')[{server}].textContent === '{is}'")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_server_that_dies_is_reported_and_found_again() {
    let (mut sync, asynchronous) = (Server::start(Flavor::Sync), Server::start(Flavor::Async));
    let front = Front::before(&sync, &asynchronous);
    let browser = Browser::open(&front.address()).await;

    sync.kill();
    browser.until(&connection(0, LOST)).await;
    for width in [360, 1280] {
        browser.resize(width, 1000, 1).await;
        assert_eq!(browser.run(OVERLAP).await, false, "{width} px");
    }
    assert_eq!(
        browser.run(&connection(1, "Connected")).await,
        true,
        "the other server is still connected"
    );
    browser
        .run("document.getElementById('wait').value = 1")
        .await;
    browser.click("#run").await;
    let verdict = browser.verdict().await;
    assert!(
        verdict.contains("no response on the synchronous server: it failed (502"),
        "{verdict}"
    );

    sync.restart();
    browser.until(&connection(0, "Connected")).await;
    browser
        .until("return document.querySelector('.threads .now').textContent.startsWith('idle')")
        .await;
    // The browser itself logs the streams and responses that failed.
    browser
        .close_but_for(&["Failed to load resource", "net::ERR"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_first_request_that_fails_after_the_second_one_is_named() {
    let (sync, mut asynchronous) = (Server::start(Flavor::Sync), Server::start(Flavor::Async));
    let front = Front::before(&sync, &asynchronous);
    let browser = Browser::open(&front.address()).await;
    browser.set_wait(3).await;
    browser.click("#run").await;
    // Not before GET /dummy has its response, half a second after GET /.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    asynchronous.kill();
    let verdict = browser.verdict().await;
    assert!(
        verdict.contains("on the asynchronous server: GET\u{a0}/ failed (502"),
        "{verdict}"
    );
    browser
        .close_but_for(&["Failed to load resource", "net::ERR"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_hidden_tab_closes_its_connections_and_catches_up() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'));"
        )
    };
    let known = "return Number(document.querySelector('.server').dataset.known)";
    let before = browser.run(known).await.as_f64().unwrap();
    browser.run(&hide(true)).await;
    let shares = "return [...document.querySelectorAll('.threads')[0].querySelectorAll('[data-share]')].map((cell) => Number(cell.dataset.share))";

    let front = lab.front.clone();
    let request = std::thread::spawn(move || crate::lab::get(&front, "/sync/?seconds=2"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(request.join().unwrap().status, 200);
    assert_eq!(
        browser
            .run("return document.querySelectorAll('.bars li').length")
            .await,
        0,
        "it does not move"
    );

    browser.run(&hide(false)).await;
    browser
        .until("return document.querySelectorAll('.bars li').length === 1")
        .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let after = browser.run(known).await.as_f64().unwrap();
    assert!(
        after > before + 2_900.0,
        "known for {before} ms, then {after} ms"
    );
    let shares: Vec<f64> = serde_json::from_value(browser.run(shares).await).unwrap();
    let blocked = shares[2] * after;
    assert!(
        (1_900.0..2_200.0).contains(&blocked),
        "blocked for {blocked} ms: {shares:?}"
    );
    browser.close().await;
}
