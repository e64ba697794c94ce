//! Stillness: the layout never shifts, and lanes move less for users who prefer reduced motion.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::lab::{Lab, get};

/// Collects layout shifts without user input, from the start of the page: their size, and what moved from
/// where to where, with its height before and after.
const WATCH_LAYOUT: &str = "
    window.moved = [];
    new PerformanceObserver((list) => {
        for (const { value, hadRecentInput, sources } of list.getEntries()) {
            const moves = sources.map(({ node, previousRect, currentRect }) =>
                `${node?.id || node?.className}: ${previousRect.top} to ${currentRect.top}, ${previousRect.height} to ${currentRect.height}`);
            if (!hadRecentInput) window.moved.push([value, moves.join('; ')]);
        }
    }).observe({ type: 'layout-shift', buffered: true });";

/// Asserts that the layout does not shift while everything appears on the page by itself. It does shift on a phone for
/// the line about a lost connection, which the network of the machine can cause: then it is repeated.
async fn nothing_moves(threads: &str, width: u32) {
    for _ in 0..5 {
        if !network_moves_something(threads, width).await {
            return;
        }
    }
    panic!("the network changed each time");
}

/// Shows everything that appears on the page by itself: the lanes, a verdict, requests of other clients, the details of
/// a bar, and responses. Asserts that the layout does not shift. Returns true if it does, and the network changed.
async fn network_moves_something(threads: &str, width: u32) -> bool {
    let lab = Lab::start(&["--threads", threads]);
    let mut browser = Browser::open(&lab.front).await;
    browser.resize(width, 1800, 1).await;
    let source = json!({ "source": WATCH_LAYOUT });
    browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await;
    browser.reload().await;
    // By script, because shifts within half a second of an input count as caused by the user.
    browser
        .run(
            "document.getElementById('wait').value = 2;
             document.querySelector('form').requestSubmit();",
        )
        .await;
    browser.verdict().await;
    assert_eq!(get(&lab.front, "/sync/dummy").status, 200);
    browser
        .until("return document.getElementById('others').textContent !== ''")
        .await;
    browser.hover(".server:last-child .bars button").await;
    // One click sends four requests, so that the first one is in flight when the last one is sent.
    browser
        .run(
            "const send = document.querySelector('.send');
             send.addEventListener('click', () => {
                 for (let more = 0; more < 3; more += 1) send.click();
                 window.full = document.querySelector('.full').textContent;
             }, { once: true });",
        )
        .await;
    browser.click(".send").await;
    let full = browser.run("return window.full").await;
    assert!(full.as_str().is_some_and(|text| !text.is_empty()), "{full}");
    browser
        .until("return document.querySelectorAll('.responses .done').length === 4")
        .await;
    let moved: Vec<(f64, Value)> =
        serde_json::from_value(browser.run("return window.moved").await).unwrap();
    let sum: f64 = moved.iter().map(|(value, _)| value).sum();
    let moves = sum >= 0.01;
    assert!(
        !moves || browser.network_changed().await,
        "{threads} threads, {width} px: moved by {sum}: {moved:?}"
    );
    browser.picture(&format!("still-{threads}-{width}")).await;
    browser.close().await;
    moves
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn nothing_moves_on_a_desktop() {
    nothing_moves("1", 1280).await;
    nothing_moves("8", 1280).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn nothing_moves_on_a_phone() {
    nothing_moves("1", 360).await;
    nothing_moves("8", 360).await;
}

/// Counts the frames of three seconds.
const COUNT_FRAMES: &str = "
    let frames = 0;
    new PerformanceObserver((list) => { frames += list.getEntries().length; }).observe({ type: 'measure' });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    return frames;";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn with_reduced_motion_lanes_move_once_a_second() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    let sliding = browser.run_async(COUNT_FRAMES).await;
    let feature = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
    let media = json!({ "features": [feature] });
    browser.devtools("Emulation.setEmulatedMedia", media).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let calm = browser.run_async(COUNT_FRAMES).await.as_u64().unwrap();
    assert!((1..=4).contains(&calm), "{calm} frames in 3 s");
    assert!(
        sliding.as_u64().unwrap() > 3 * calm,
        "{sliding} frames, {calm} calm ones"
    );
    browser.close().await;
}
