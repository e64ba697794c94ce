//! Lanes of one and of many threads, and the time that drawing takes.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::browser::Browser;
use crate::lab::{Lab, get, try_get};
use crate::quiet::on_quiet_machine;

/// Measures the frames of five seconds: their durations in milliseconds, sorted.
const MEASURE_FRAMES: &str = "
    const costs = [];
    new PerformanceObserver((list) => costs.push(...list.getEntries().map(({ duration }) => duration)))
        .observe({ type: 'measure' });
    await new Promise((resolve) => setTimeout(resolve, 5000));
    return costs.sort((one, other) => one - other);";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn the_button_and_both_lanes_are_on_the_first_screen() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    for (width, height) in [(1280, 720), (360, 740)] {
        browser.resize(width, height, 1).await;
        browser.picture(&format!("first-screen-{width}")).await;
        browser.assert_above("#run, .threads", 3, height).await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn with_several_replicas_the_page_says_that_it_shows_one() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    let said = browser
        .run_async(
            "const { ServerView } = await import('/live/server.js');
             const { verdict } = await import('/live/experiment.js');
             const { Shown } = await import('/live/shown.js');
             const { WAITS: [wait] } = await import('/live/handlers.js');
             const view = new ServerView({ name: 'sync', title: 'Synchronous', kind: 'sync' }, new Shown());
             const connection = () => view.element.querySelector('.connection').textContent;
             const seconds = { running: 0, runnable: 0, blocked: 0, awaiting: 0, idle: 1 };
             const event = { now: 1, began: 0, active_requests: 0, threads: [{ thread: '0', state: 'idle', seconds }], requests: [], links: [] };
             const said = [{ ...event, replicas: 3, replica: '4f1c2d3e4a5b' }, { ...event, now: 2, replicas: null }, { ...event, now: 3, replicas: 1 }]
                 .map((event) => { view.receive(event); return connection(); });
             const ok = (took) => ({ took, status: 200 });
             const outcome = (took) => ({ wait, seconds: 5, sync: { long: ok(5000), short: ok(took) }, async: { long: ok(5000), short: ok(2) } });
             view.history.replicas = 3;
             const sentence = (took) => verdict(outcome(took), { sync: view.history, async: view.history }, ['sync', 'async']);
             return [...said, sentence(3), sentence(4500)];",
        )
        .await;
    let said: Vec<String> = serde_json::from_value(said).unwrap();
    let one_of_three =
        "Connected to replica 4f1c2d3e4a5b of sync, one of 3; the others are not shown";
    assert_eq!(said[..3], [one_of_three, one_of_three, "Connected"]);
    assert!(
        said[3].contains("another thread for it in its 3 replicas"),
        "{}",
        said[3]
    );
    assert!(
        said[4].contains("in 3 replicas, were all held"),
        "{}",
        said[4]
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_page_opened_after_the_requests_shows_the_states_of_that_time() {
    let lab = Lab::start(&[]);
    assert_eq!(get(&lab.front, "/sync/?seconds=1.5").status, 200);
    let browser = Browser::open(&lab.front).await;
    let blocked = browser
        .until(
            "const { share } = document.querySelector('.threads [data-state=blocked]').dataset;
             const known = Number(document.querySelector('.server').dataset.known);
             return share && share * known",
        )
        .await;
    let blocked = blocked.as_f64().unwrap();
    assert!((1_400.0..1_800.0).contains(&blocked), "{blocked} ms");
    // The labels of bars at the right edge stay within the lane.
    assert_eq!(get(&lab.front, "/sync/dummy").status, 200);
    let sticks_out = "const lane = document.querySelector('.requests .lane').getBoundingClientRect();
        const labels = [...document.querySelectorAll('.server:first-child .label')];
        return labels.length === 2 && Math.max(...labels.map((label) => label.getBoundingClientRect().right - lane.right))";
    let by = browser.until(sticks_out).await.as_f64().unwrap();
    assert!(by <= 1.0, "by {by} px");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn the_time_shown_is_the_run_and_then_the_last_minute_again() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    let spans = browser
        .run_async(
            "const { Shown, axis, span } = await import('/live/shown.js');
             const shown = new Shown();
             const spans = [span(shown.at(0))];
             shown.begin(1000, 5000);
             for (const at of [1000, 7999, 8001]) spans.push(span(shown.at(at)));
             shown.end(9000);
             for (const at of [9000, 18_999, 19_001]) spans.push(span(shown.at(at)));
             shown.choose(true);
             spans.push(span(shown.at(99_000)));
             return [spans, axis({ span: 7000 }).map(({ text }) => text).join(), axis({ span: 62_000 }).length <= 9];",
        )
        .await;
    let run = json!(8750);
    assert_eq!(
        spans,
        json!([
            [60_000, 7000, 7000, run, run, run, 60_000, run],
            "0 s,1 s,2 s,3 s,4 s,5 s,6 s,7 s",
            true
        ])
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_busy_machine_is_named_and_not_taken_for_other_requests() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    let warnings = browser
        .run_async(
            "const { warning } = await import('/live/pressure.js');
             return [null, 0.1, 0.64].map(warning);",
        )
        .await;
    assert_eq!(warnings[0], "");
    assert_eq!(warnings[1], "");
    let busy = warnings[2].as_str().unwrap();
    assert!(busy.contains("64 %"), "{busy}");
    // There, a request that computes for 2 s takes longer, also if no other one held the thread before it.
    let reasons = browser
        .run_async(
            "const { reason } = await import('/live/experiment.js');
             const { WAITS } = await import('/live/handlers.js');
             const wait = WAITS.find(({ name }) => name === 'cpu');
             const outcome = (queued) => ({ long: { took: 5490, status: 200, queued }, short: { took: 4990, status: 200 } });
             return [3, 3000, null].map((queued) => reason('async', { wait, seconds: 2, async: outcome(queued) }, { threads: 1, replicas: 1 }));",
        )
        .await;
    let computed = "its only thread was busy computing GET\u{a0}/cpu: the event loop stood still";
    let others = "its only thread was held by other requests, besides GET\u{a0}/cpu";
    assert_eq!(reasons, json!([computed, others, others]));
    browser.close().await;
}

#[test]
#[ignore = "needs Chromium: run make test"]
fn sixty_four_threads_a_server_are_drawn_within_a_frame() {
    on_quiet_machine(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(draw_sixty_four_threads_a_server());
    });
}

#[expect(clippy::print_stdout, reason = "the measured times")]
async fn draw_sixty_four_threads_a_server() {
    let lab = Lab::start(&["--threads", "64"]);
    let browser = Browser::open(&lab.front).await;
    // Tall enough for all lanes to be in sight; those out of sight are not drawn.
    browser.resize(1280, 4000, 1).await;
    let rows = browser
        .run("return document.querySelectorAll('.threads tr').length")
        .await;
    assert_eq!(rows, 128);

    // Requests of all kinds for the whole time.
    let front = lab.front.clone();
    let load = thread::spawn(move || {
        thread::scope(|scope| {
            for client in 0..16 {
                let front = &front;
                scope.spawn(move || {
                    for turn in 0..40 {
                        let server = if (client + turn) % 2 == 0 {
                            "sync"
                        } else {
                            "async"
                        };
                        let wait = ["/?seconds=0.2", "/blocking?seconds=0.2", "/dummy"][turn % 3];
                        assert_eq!(get(front, &format!("/{server}{wait}")).status, 200);
                    }
                });
            }
        });
    });
    let costs: Vec<f64> = serde_json::from_value(browser.run_async(MEASURE_FRAMES).await).unwrap();
    load.join().unwrap();
    let at = |part: f64| costs[(part * (costs.len() - 1) as f64) as usize];
    println!(
        "{} frames in 5 s, 128 lanes: median {:.1} ms, 95 % within {:.1} ms",
        costs.len(),
        at(0.5),
        at(0.95)
    );
    // 60 frames a second leave 16 ms for each.
    assert!(costs.len() > 25, "only {} frames", costs.len());
    assert!(
        at(0.5) < 16.0,
        "half of the frames took more than {:.1} ms",
        at(0.5)
    );
    browser.picture("many").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn time_that_is_not_decided_yet_is_not_drawn_as_the_states_beside_it() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    // 10 ms of the second stretch are known, and the rest of it only with the third one.
    let drawn = browser
        .run_async(
            "const { History } = await import('/live/history.js');
             const { Lane } = await import('/live/lane.js');
             const history = new History();
             const seconds = (running, awaiting) => ({ running, runnable: 0, blocked: 0, awaiting, idle: 0 });
             [[1, 0, 0], [2, 0, 1], [3, 0.01, 1], [4, 0.02, 2.98]].forEach(([at, ...spent]) => history.apply({
                 now: 1000 * at, began: 0, active_requests: 1, requests: [],
                 threads: [{ thread: '0', state: 'awaiting', seconds: seconds(...spent) }],
             }, 0));
             const { stretches } = history.threads[0];
             const canvas = document.createElement('canvas');
             canvas.style = 'position: fixed; inset: 0; width: 300px; height: 100px';
             document.body.append(canvas);
             const lane = new Lane(canvas);
             await new Promise((resolve) => setTimeout(resolve, 300));
             lane.draw(stretches, { from: 1000, to: 4000, edge: 4000, slides: false });
             const { width, height } = canvas;
             const line = canvas.getContext('2d').getImageData(0, 0.4 * height, width, 1).data;
             canvas.remove();
             const opaque = [1 / 6, 1 / 2, 5 / 6].map((share) => line[4 * Math.round(share * width) + 3] > 0);
             return { pures: stretches.map(({ pure }) => pure), opaque };",
        )
        .await;
    // Awaiting is the fourth state.
    assert_eq!(
        drawn,
        json!({ "pures": [3, -1, 3], "opaque": [true, false, true] })
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_request_that_waited_before_the_page_was_opened_has_its_whole_time() {
    let lab = Lab::start(&["--grace", "0"]);
    let request = |path: &'static str| {
        let front = lab.front.clone();
        // They need not get a response before the lab ends.
        thread::spawn(move || try_get(&front, path));
    };
    request("/sync/?seconds=60");
    thread::sleep(Duration::from_millis(200));
    request("/sync/dummy");
    thread::sleep(Duration::from_secs(5));
    let opened = Instant::now();
    let browser = Browser::open(&lab.front).await;
    let shown = browser
        .until("return document.querySelector('.queue-place .token')?.textContent")
        .await;
    let shown = shown.as_str().unwrap();
    let seconds = shown.strip_prefix("not read yet ").unwrap();
    let seconds: f64 = seconds.strip_suffix(" s").unwrap().parse().unwrap();
    let most = 6.0 + opened.elapsed().as_secs_f64();
    assert!((4.5..most).contains(&seconds), "{shown}");
    browser.close().await;
}
