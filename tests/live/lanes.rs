//! Many threads: how the page draws them, and what that costs.

use std::thread;

use serde_json::json;

use crate::browser::Browser;
use crate::lab::{Lab, get};

/// Measures the frames of some seconds: their costs in milliseconds, from the cheapest on.
const MEASURE_FRAMES: &str = "
    const done = arguments[0];
    const costs = [];
    new PerformanceObserver((list) => costs.push(...list.getEntries().map(({ duration }) => duration)))
        .observe({ type: 'measure' });
    setTimeout(() => done(costs.sort((one, other) => one - other)), 5000);";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn sixty_four_threads_a_server_are_drawn_within_a_frame() {
    let lab = Lab::start(&["--threads", "64"]);
    let browser = Browser::open(&lab.front).await;
    // So tall that all lanes are in sight: those that are not cost nothing.
    let size = json!({ "width": 1280, "height": 4000, "deviceScaleFactor": 1, "mobile": false });
    browser
        .devtools("Emulation.setDeviceMetricsOverride", size)
        .await;
    let rows = browser
        .run("return document.querySelectorAll('.threads tr').length")
        .await;
    assert_eq!(rows, 128);

    // Requests of all kinds from the first second to the last.
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
    // 60 pictures a second leave 16 ms for each.
    assert!(costs.len() > 25, "it hardly moved: {} frames", costs.len());
    assert!(
        at(0.5) < 16.0,
        "half of the frames took more than {:.1} ms",
        at(0.5)
    );
    browser.picture("many").await;
    browser.close().await;
}
