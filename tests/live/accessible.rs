//! Accessibility: the page without a mouse, without colours, in the dark, on a phone.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::lab::{Lab, get};

const TAB: &str = "\u{e004}";
const LEFT: &str = "\u{e012}";
const ENTER: &str = "\u{e007}";

/// Returns the violations that axe-core finds on the page.
async fn violations(browser: &Browser) -> Vec<Value> {
    let axe =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(&axe).unwrap_or_else(|error| {
        panic!(
            "{}: {error}. Run make test, or scripts/setup",
            axe.display()
        )
    });
    browser.run(&axe).await;
    let found = browser
        .run_async(
            "const { violations, passes } = await axe.run();
             return { violations, passes: passes.length };",
        )
        .await;
    assert!(
        found["passes"].as_u64().unwrap_or(0) > 20,
        "axe did not run: {found}"
    );
    let brief = |violation: &Value| {
        json!({ "id": violation["id"], "help": violation["help"],
                "where": violation["nodes"].as_array().unwrap().iter().map(|node| node["html"].clone()).collect::<Vec<_>>() })
    };
    found["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(brief)
        .collect()
}

async fn set_colours(browser: &Browser, scheme: &str) {
    let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
    browser
        .devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        )
        .await;
    let query = format!("return matchMedia('(prefers-color-scheme: {scheme})').matches");
    assert_eq!(browser.run(&query).await, true);
}

/// Asserts that axe finds no violation in these colours at this width, and that the page is no wider.
pub(crate) async fn assert_accessible(browser: &Browser, scheme: &str, width: u32) {
    browser.resize(width, 900, 2).await;
    set_colours(browser, scheme).await;
    let found = violations(browser).await;
    assert!(found.is_empty(), "{scheme}, {width} px: {found:#?}");
    let wide = browser
        .run("return document.documentElement.scrollWidth")
        .await;
    assert!(
        wide.as_u64().unwrap() <= u64::from(width),
        "{wide} px wide on {width} px"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn axe_finds_no_violations_in_light_dark_and_on_a_phone() {
    let lab = Lab::start(&["--links", "Grafana=http://127.0.0.1:3000"]);
    let browser = Browser::open(&lab.front).await;
    let links = browser
        .run("return [...document.querySelectorAll('nav a')].map((link) => link.href)")
        .await;
    let front = &lab.front;
    assert_eq!(
        links,
        json!([
            format!("http://{front}/sync/docs"),
            format!("http://{front}/async/docs"),
            "http://127.0.0.1:3000/"
        ])
    );
    for path in ["/sync/dummy", "/async/?seconds=0.3"] {
        assert_eq!(get(&lab.front, path).status, 200);
    }
    browser.click(".send").await;
    browser
        .until("return document.querySelectorAll('.bars li').length >= 3")
        .await;
    for scheme in ["light", "dark"] {
        for width in [1280, 360] {
            assert_accessible(&browser, scheme, width).await;
            browser.picture(&format!("{scheme}-{width}")).await;
        }
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn the_page_leads_to_the_documentation_which_is_accessible_too() {
    let lab = Lab::start(&[]);
    let browser = Browser::open(&lab.front).await;
    browser.click("footer a[href='/docs/article.md']").await;
    browser
        .until("return document.querySelector('h1')?.textContent === 'The article, claim by claim'")
        .await;
    for scheme in ["light", "dark"] {
        assert_accessible(&browser, scheme, 360).await;
        browser.picture(&format!("docs-{scheme}")).await;
    }
    browser.click("nav a[href='/']").await;
    browser
        .until("return document.getElementById('run') !== null")
        .await;
    browser.connected().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run make test"]
async fn the_keyboard_reaches_all_controls() {
    let lab = Lab::start(&[]);
    for path in ["/sync/dummy", "/sync/?seconds=0.3"] {
        assert_eq!(get(&lab.front, path).status, 200);
    }
    let browser = Browser::open(&lab.front).await;
    browser
        .until("return document.querySelectorAll('.bars li').length === 2")
        .await;

    browser.run("document.getElementById('wait').focus()").await;
    for id in ["guess", "run"] {
        browser.press(TAB).await;
        assert_eq!(browser.run("return document.activeElement.id").await, id);
    }
    // A group of radio buttons is one tab stop.
    for name in ["shown", "language"] {
        browser.press(TAB).await;
        let focused = browser.run("return document.activeElement.name").await;
        assert_eq!(focused, name);
    }
    // The bars are one tab stop; the arrow keys move between them.
    browser.press(TAB).await;
    let shown = browser.text(".detail").await;
    browser.press(LEFT).await;
    let other = browser.text(".detail").await;
    let mut both = [shown, other];
    both.sort();
    assert!(
        both[0].starts_with("/ 3") && both[0].contains("sync-0: queued"),
        "{both:?}"
    );
    assert!(
        both[1].starts_with("/dummy") && both[1].contains("status 200"),
        "{both:?}"
    );

    // The code of each handler can be folded.
    for server in ["sync", "async"] {
        browser.press(TAB).await;
        let focused = browser.run("return document.activeElement.localName").await;
        assert_eq!(focused, "summary", "{server}");
    }

    browser.press(TAB).await;
    assert_eq!(
        browser
            .run("return document.activeElement.textContent")
            .await,
        "GET /"
    );
    browser.press(TAB).await;
    assert_eq!(
        browser
            .run("return document.activeElement.textContent")
            .await,
        "Copy the curl command for GET / on the sync server"
    );
    browser.press(TAB).await;
    assert_eq!(
        browser
            .run("return document.activeElement.textContent")
            .await,
        "GET /dummy"
    );
    browser.press(ENTER).await;
    browser.until("return document.querySelector('.responses .done')?.textContent.startsWith('GET /dummy: 200 after')").await;
    browser.close().await;
}
