//! Either front with servers behind it, and a client, all of which read and write the bytes of HTTP themselves.

// Each test binary uses a part of this.
#![allow(dead_code)]

#[path = "../address.rs"]
mod address;
pub mod backend;
pub mod client;
pub mod embedded;
pub mod lab;
pub mod message;
pub mod nginx;

use std::time::Duration;

/// Limit for everything that a test waits for; far more than it takes.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Files of a live page: path, file name, media type, content.
pub const PAGE: [(&str, &str, &str, &str); 3] = [
    (
        "/",
        "index.html",
        "text/html; charset=utf-8",
        "<!doctype html><title>page</title>",
    ),
    (
        "/live/page.css",
        "page.css",
        "text/css; charset=utf-8",
        "body { color: black }",
    ),
    (
        "/live/page.js",
        "page.js",
        "text/javascript; charset=utf-8",
        "export const page = 1;",
    ),
];
