//! The pages of `docs/` as HTML, for the links of the live page: `/docs/article.md` is `docs/article.md`.
//!
//! They have the paths of the files, so that the links between them work as they are.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use rust_embed::RustEmbed;
use thread_states::problem::Problem;

use crate::html::escape;

/// The directory `docs`.
#[derive(RustEmbed)]
#[folder = "docs"]
struct Documentation;

/// Columns of tables are aligned by style attributes.
const POLICY: &str = "default-src 'self'; script-src 'none'; style-src 'self' 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-cache"),
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// Titles of the pages by the paths of their files.
static TITLES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let pages = Documentation::iter().filter(|file| file.ends_with(".md"));
    let title = |file: &str| {
        let text = text(file)?;
        let heading = text.lines().find_map(|line| line.strip_prefix("# "))?;
        Some(heading.replace('`', ""))
    };
    pages
        .filter_map(|file| Some((file.to_string(), title(&file)?)))
        .collect()
});

/// Returns the routes `/docs/`, a list of all pages, and `/docs/{*file}`.
pub fn docs() -> Router {
    Router::new()
        .route("/docs/", get(async || (HEADERS, Html(list()))))
        .route("/docs/{*file}", get(page))
}

async fn page(file: Result<Path<String>, PathRejection>) -> Response {
    // A path that is not UTF-8 when decoded is rejected; no file has one.
    let file = file.map_or_else(|_| String::new(), |Path(file)| file);
    if let Some(title) = TITLES.get(&file) {
        let body = text(&file).map(|text| body(&file, &text));
        return (HEADERS, Html(document(title, &body.unwrap_or_default()))).into_response();
    }
    match Documentation::get(&file) {
        Some(found) => {
            let media_type = [(CONTENT_TYPE, found.metadata.mimetype().to_owned())];
            (HEADERS, media_type, found.data).into_response()
        }
        None => Problem::new(StatusCode::NOT_FOUND, format!("there is no page {file:?}"))
            .into_response(),
    }
}

fn text(file: &str) -> Option<String> {
    String::from_utf8(Documentation::get(file)?.data.into_owned()).ok()
}

/// Returns the list of all pages.
fn list() -> String {
    let mut body = "<h1>Documentation</h1>\n<ul>\n".to_owned();
    for (file, title) in TITLES.iter() {
        body += &format!("<li><a href=\"/docs/{file}\">{}</a></li>\n", escape(title));
    }
    document("Documentation", &format!("{body}</ul>\n"))
}

fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  \
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n  \
         <meta name=\"color-scheme\" content=\"light dark\">\n  <title>{title}: threadlab</title>\n  \
         <link rel=\"icon\" href=\"/live/icon.svg\">\n  <link rel=\"stylesheet\" href=\"/live/docs.css\">\n</head>\n\
         <body>\n<nav><a href=\"/\">Live page</a> <a href=\"/docs/\">All pages</a></nav>\n<main>\n{body}</main>\n\
         </body>\n</html>\n"
    )
}

/// Returns a page as HTML, without links to files of the repository that are not below `docs/`.
fn body(file: &str, text: &str) -> String {
    let mut events: Vec<_> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    add_anchors(&mut events);
    let mut keeps = Vec::new();
    events.retain(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => {
            keeps.push(has_target(file, dest_url));
            keeps.last() == Some(&true)
        }
        Event::End(TagEnd::Link) => keeps.pop() != Some(false),
        _ => true,
    });
    let mut body = String::with_capacity(2 * text.len());
    html::push_html(&mut body, events.into_iter());
    // On a narrow screen they scroll, which the keyboard can do only if they can have the focus.
    body.replace("<pre>", "<pre tabindex=\"0\">")
        .replace("<table>", "<table tabindex=\"0\">")
}

/// Gives each heading the anchor that it has on GitHub: its text in lower case, with hyphens for spaces.
fn add_anchors(events: &mut [Event<'_>]) {
    let mut heading: Option<(usize, String)> = None;
    for at in 0..events.len() {
        match &events[at] {
            Event::Start(Tag::Heading { .. }) => heading = Some((at, String::new())),
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, heading)) = &mut heading {
                    heading.push_str(text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((start, text)) = heading.take()
                    && let Event::Start(Tag::Heading { id, .. }) = &mut events[start]
                {
                    *id = Some(CowStr::from(anchor(&text)));
                }
            }
            _ => {}
        }
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    let hyphenated = kept.map(|c| if c == ' ' { '-' } else { c });
    hyphenated.flat_map(char::to_lowercase).collect()
}

/// Returns whether a link on the page `file` leads to another page, to a place on this one, or to another site.
fn has_target(file: &str, link: &str) -> bool {
    let path = link.split('#').next().unwrap_or_default();
    path.is_empty()
        || path.contains("://")
        || join(file, path).is_some_and(|target| Documentation::get(&target).is_some())
}

/// Returns the file to which a relative path leads from `file`; `None` outside of `docs/`.
fn join(file: &str, path: &str) -> Option<String> {
    let mut segments: Vec<_> = file.split('/').collect();
    segments.pop();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()?),
            name => segments.push(name),
        }
    }
    Some(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    /// Returns status, media type and body.
    async fn get(path: &str) -> (StatusCode, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = docs().oneshot(request).await.unwrap();
        let status = response.status();
        let media_type = response.headers()[CONTENT_TYPE].to_str().unwrap();
        let media_type = media_type.to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        (status, media_type, body)
    }

    #[tokio::test]
    async fn each_link_between_pages_leads_to_a_page_and_a_heading() {
        let (.., list) = get("/docs/").await;
        let mut links = 0;
        for (file, title) in TITLES.iter() {
            assert!(list.contains(&format!("href=\"/docs/{file}\"")), "{file}");
            let (status, media_type, page) = get(&format!("/docs/{file}")).await;
            assert_eq!(
                (status, &*media_type),
                (StatusCode::OK, "text/html; charset=utf-8")
            );
            assert!(page.contains(&format!("<title>{}: threadlab<", escape(title))));
            let (_, main) = page.split_once("<main>").unwrap();
            for link in main.split("href=\"").skip(1) {
                let (link, _) = link.split_once('"').unwrap();
                if link.contains("://") {
                    continue;
                }
                links += 1;
                let (path, place) = link.split_once('#').unwrap_or((link, ""));
                let target = match path {
                    "" => file.clone(),
                    path => join(file, path).unwrap(),
                };
                let (status, _, page) = get(&format!("/docs/{target}")).await;
                assert_eq!(status, StatusCode::OK, "{file}: {link}");
                let is_there = place.is_empty() || page.contains(&format!("id=\"{place}\""));
                assert!(is_there, "{file}: {link}");
            }
        }
        assert!(links > 50, "only {links}");
    }

    #[tokio::test]
    async fn other_files_have_their_media_type_and_unknown_ones_are_not_found() {
        let (status, media_type, _) = get("/docs/images/threads.png").await;
        assert_eq!((status, &*media_type), (StatusCode::OK, "image/png"));
        for path in [
            "/docs/none.md",
            "/docs/../Cargo.toml",
            "/docs/labs",
            "/docs/%ff",
        ] {
            let (status, media_type, _) = get(path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(media_type, "application/problem+json");
        }
    }

    #[test]
    fn links_out_of_the_documentation_become_text_and_code_can_have_the_focus() {
        let html = body(
            "labs/a.md",
            "# The `a` & b\n\n    <pre>\n\n[up](../faq.md#x) [code](../../src/main.rs) [site](https://example.org)\n",
        );
        assert_eq!(
            html,
            "<h1 id=\"the-a--b\">The <code>a</code> &amp; b</h1>\n\
             <pre tabindex=\"0\"><code>&lt;pre&gt;\n</code></pre>\n\
             <p><a href=\"../faq.md#x\">up</a> code <a href=\"https://example.org\">site</a></p>\n"
        );
    }
}
