//! Mouse actions: pointing at a bar, copying a command, and reloading.

use serde_json::json;

use crate::browser::Browser;
use crate::lab::{Lab, get};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn pointing_at_a_bar_shows_its_request() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    assert_eq!(get(&lab.front, "/sync/?seconds=0.3").status, 200);
    browser
        .until("return document.querySelector('.bars button')?.ariaLabel.endsWith('status 200')")
        .await;
    assert_eq!(browser.text(".detail").await, "");
    browser.hover(".bars button").await;
    let detail = browser.text(".detail").await;
    assert!(detail.starts_with("/ 3"), "{detail}");
    assert!(detail.contains("on sync-0: queued"), "{detail}");
    assert!(detail.ends_with("status 200"), "{detail}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn a_curl_command_is_copied_as_shown() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    let wanted = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", wanted).await;
    browser.click(".copy").await;
    browser
        .until("return document.querySelector('.copy .word').textContent === 'Copied'")
        .await;
    let said = browser
        .run("return document.querySelector('[role=status].copied').textContent")
        .await;
    assert_eq!(said, "Copied the curl command for GET / on the sync server");
    let copied = browser
        .run_async("return navigator.clipboard.readText()")
        .await;
    let line = format!("curl 'http://{}/sync/?seconds=5'", lab.front);
    assert_eq!(copied, line.as_str());
    assert_eq!(browser.text(".requests-to-send code").await, line);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn after_a_reload_the_tab_still_knows_its_requests() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    browser.send_dummy().await;
    browser.reload().await;
    browser
        .until("return document.querySelectorAll('.bars li').length === 1")
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(browser.text("#others").await, "");
    browser.close().await;
}
