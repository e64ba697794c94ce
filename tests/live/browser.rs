//! A headless Chromium, driven through its WebDriver.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::{ParseError, Url};

/// Time limit of a test for something that must happen; far more than it takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A browser with one page. Must be closed by [`Browser::close`], which checks the page's console.
pub(crate) struct Browser {
    client: Client,
    driver: Driver,
    /// Entries of the console that were taken so far.
    log: Vec<Value>,
}

/// The WebDriver; on drop it is ended together with its browser.
struct Driver {
    process: Child,
    port: u16,
    /// It must stay open: the driver writes to it.
    _stdout: BufReader<ChildStdout>,
    profile: PathBuf,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The whole process group, because after a failed test the browser would keep running.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

impl Driver {
    /// Starts the driver on a port of its choice. It ends at once if the same port of IPv6 is taken, so it gets three
    /// attempts.
    fn start() -> Self {
        let mut said = String::new();
        for _ in 0..3 {
            match Self::try_start() {
                Ok(driver) => return driver,
                Err(output) => said = output,
            }
        }
        panic!("chromedriver ended before it printed its port, three times: {said}");
    }

    /// Starts the driver, and reads its port from what it prints. Returns all that it printed if it ends before.
    fn try_start() -> Result<Self, String> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("chromedriver: {error}. Run make test, or install Chromium's driver")
            });
        let profile = std::env::temp_dir().join(format!("threadlab-browser-{}", process.id()));
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        let port = loop {
            let start = said.len();
            if stdout.read_line(&mut said).unwrap() == 0 {
                let _ = process.wait();
                return Err(said);
            }
            // "ChromeDriver was started successfully on port 40159."
            if let Some((_, port)) = said[start..].split_once("successfully on port ") {
                break port.trim_end().trim_end_matches('.').parse().unwrap();
            }
        };
        Ok(Self {
            process,
            port,
            profile,
            _stdout: stdout,
        })
    }
}

/// A command specific to Chromium: its path below the session, and its body.
#[derive(Debug)]
struct ChromiumCommand(&'static str, Value);

impl WebDriverCompatibleCommand for ChromiumCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.0
        ))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// Opens the page of the front at this address.
    pub(crate) async fn open(front: &str) -> Self {
        let driver = Driver::start();
        let profile = format!("--user-data-dir={}", driver.profile.display());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1000",
            &profile,
        ];
        let wanted = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let client = connect(driver.port, wanted.as_object().unwrap()).await;
        client.goto(&format!("http://{front}/")).await.unwrap();
        let mut browser = Self {
            client,
            driver,
            log: Vec::new(),
        };
        for _ in 0..5 {
            // It did not load all of the page.
            if !browser.network_changed().await {
                break;
            }
            browser.client.refresh().await.unwrap();
        }
        browser.connected().await;
        browser
    }

    /// Returns true if requests of the page failed, since the last call, because the network changed.
    pub(crate) async fn network_changed(&mut self) -> bool {
        let new = self.log.len();
        self.read_log().await;
        self.log[new..].iter().any(is_of_the_network)
    }

    /// Takes the new entries of the console, which the browser returns once.
    async fn read_log(&mut self) {
        let log = ChromiumCommand("se/log", json!({ "type": "browser" }));
        let entries = self.client.issue_cmd(log).await.unwrap();
        self.log.extend(entries.as_array().unwrap().iter().cloned());
    }

    /// Reloads the page.
    pub(crate) async fn reload(&self) {
        self.client.refresh().await.unwrap();
        self.connected().await;
    }

    /// Waits until the page is connected to both servers.
    pub(crate) async fn connected(&self) {
        // The page has no such lines until its script runs.
        self.until(
            "const lines = [...document.querySelectorAll('.connection')];
             return lines.length > 0 && lines.every((line) => line.textContent === 'Connected')",
        )
        .await;
    }

    /// Closes the browser. Fails if the console has an error that contains none of these texts.
    pub(crate) async fn close_but_for(mut self, expected: &[&str]) {
        self.read_log().await;
        self.client.close().await.unwrap();
        drop(self.driver);
        let unexpected = |entry: &&Value| {
            let message = entry["message"].as_str().unwrap();
            !is_of_the_network(entry) && !expected.iter().any(|part| message.contains(part))
        };
        let unexpected: Vec<_> = self.log.iter().filter(unexpected).collect();
        assert!(unexpected.is_empty(), "the console says: {unexpected:#?}");
    }

    /// Closes the browser. Fails if the console has an error.
    pub(crate) async fn close(self) {
        self.close_but_for(&[]).await;
    }

    /// Runs a script and returns its result.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Runs a script that may use `await`, and returns its result.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        // The driver waits for a promise. See https://www.w3.org/TR/webdriver2/#execute-script.
        self.run(&format!("return (async () => {{ {script} }})()"))
            .await
    }

    /// Waits until a script returns a true value, and returns that.
    pub(crate) async fn until(&self, script: &str) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let value = self.run(script).await;
            if value.as_bool().unwrap_or(!value.is_null()) {
                return value;
            }
            assert!(Instant::now() < deadline, "never true: {script}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the verdict on the experiment and returns it.
    pub(crate) async fn verdict(&self) -> String {
        const VERDICT: &str = "const line = document.getElementById('verdict').textContent;
            return line.startsWith('While') && line";
        self.until(VERDICT).await.as_str().unwrap().to_owned()
    }

    /// Sends `/dummy` to the synchronous server by the page's button, and waits for the response.
    pub(crate) async fn send_dummy(&self) {
        self.click(".requests-to-send li:last-child .send").await;
        self.until("return document.querySelector('.responses .done') !== null")
            .await;
    }

    /// Waits for the first element that a selector finds.
    async fn find(&self, selector: &str) -> Element {
        let wait = self.client.wait().at_most(TIMEOUT);
        wait.for_element(Locator::Css(selector)).await.unwrap()
    }

    /// Returns the text of the first element that a selector finds.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        element.text().await.unwrap()
    }

    /// Clicks the first element that a selector finds.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        element.click().await.unwrap();
    }

    /// Moves the mouse to the middle of the first element that a selector finds.
    pub(crate) async fn hover(&self, selector: &str) {
        let element = self.find(selector).await;
        let moves = MouseActions::new("mouse".to_owned()).then(PointerAction::MoveToElement {
            element,
            duration: None,
            x: 0.0,
            y: 0.0,
        });
        self.client.perform_actions(moves).await.unwrap();
    }

    /// Types into the focused element.
    pub(crate) async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Sends a command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.client
            .issue_cmd(ChromiumCommand("goog/cdp/execute", body))
            .await
            .unwrap()
    }

    /// Sets the size of the window in CSS pixels, and how many pixels of the screen each of them has. A narrow one is that
    /// of a phone.
    pub(crate) async fn resize(&self, width: u32, height: u32, scale: u32) {
        let size = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": scale,
            "mobile": width < 500,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// Asserts that `count` elements match, and that all of them end within the first `height` pixels.
    pub(crate) async fn assert_above(&self, selector: &str, count: usize, height: u32) {
        let script = format!(
            "return [...document.querySelectorAll('{selector}')]
                .map((part) => part.getBoundingClientRect().bottom)"
        );
        let bottoms: Vec<f64> = serde_json::from_value(self.run(&script).await).unwrap();
        assert_eq!(bottoms.len(), count, "{selector}");
        let is_seen = |bottom: &f64| *bottom <= f64::from(height);
        assert!(bottoms.iter().all(is_seen), "{height} px: {bottoms:?}");
    }

    /// Enters the wait of the experiment.
    pub(crate) async fn set_wait(&self, seconds: u32) {
        let script = format!(
            "const wait = document.getElementById('wait');
             wait.value = {seconds};
             wait.dispatchEvent(new Event('input'));"
        );
        self.run(&script).await;
    }

    /// Saves a screenshot of the page as `target/live/NAME.png`.
    pub(crate) async fn picture(&self, name: &str) {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/live");
        fs::create_dir_all(&directory).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }
}

/// Opens a session with the driver, which takes a moment to start.
async fn connect(port: u16, wanted: &serde_json::Map<String, Value>) -> Client {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let session = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted.clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await;
        match session {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "no browser: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns true for an error that a request met because a network interface appeared or went away, as with each container
/// that another program starts.
fn is_of_the_network(entry: &Value) -> bool {
    let message = entry["message"].as_str().unwrap();
    message.contains("net::ERR_NETWORK_CHANGED")
}
