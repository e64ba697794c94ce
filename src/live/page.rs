//! Files of the live page, embedded in the program.

use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};

/// The directory `page`, without its path.
#[derive(RustEmbed)]
#[folder = "src/live/page"]
struct Embedded;

/// File of the live page.
#[derive(Debug, Clone)]
pub struct File {
    /// Path at the front: `/` for `index.html`, `/live/NAME` for every other file.
    pub path: String,
    /// Media type.
    pub content_type: String,
    /// Content.
    pub bytes: Bytes,
}

impl File {
    fn new(name: &str, file: EmbeddedFile) -> Self {
        let path = match name {
            "index.html" => "/".to_owned(),
            name => format!("/live/{name}"),
        };
        let media_type = file.metadata.mimetype();
        let charset = if media_type.starts_with("text/") {
            "; charset=utf-8"
        } else {
            ""
        };
        Self {
            path,
            content_type: format!("{media_type}{charset}"),
            bytes: file.data.into_owned().into(),
        }
    }
}

/// Returns the files of the page. It refers to nothing but these files, the servers' event streams and
/// their endpoints.
pub fn page() -> impl Iterator<Item = File> {
    Embedded::iter().filter_map(|name| Some(File::new(&name, Embedded::get(&name)?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// nginx serves the directory, and only names of this form (`nginx/maps.conf`).
    #[test]
    fn the_page_has_every_file_of_its_directory() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/live/page");
        let files: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let embedded = page().map(|file| match &*file.path {
            "/" => "index.html".to_owned(),
            path => path.strip_prefix("/live/").unwrap().to_owned(),
        });
        assert_eq!(files, embedded.collect());
        for file in files.iter().filter(|file| *file != "index.html") {
            let (name, kind) = file.split_once('.').unwrap();
            assert!(
                name.bytes().all(|letter| letter.is_ascii_lowercase()),
                "{file}"
            );
            assert!(["css", "js", "svg"].contains(&kind), "{file}");
        }
    }

    /// Otherwise the browser asks for a module only once it has read the one that imports it.
    #[test]
    fn every_module_is_requested_with_the_page() {
        let page = text("src/live/page/index.html");
        for file in super::page().filter(|file| file.path.ends_with(".js")) {
            let is_script = page.contains(&format!("src=\"{}\"", file.path));
            let is_preloaded =
                page.contains(&format!("rel=\"modulepreload\" href=\"{}\"", file.path));
            assert!(is_script || is_preloaded, "{}", file.path);
        }
    }

    #[test]
    fn media_types_follow_from_the_names() {
        for (path, expected) in [
            ("/", "text/html; charset=utf-8"),
            ("/live/page.css", "text/css; charset=utf-8"),
            ("/live/page.js", "text/javascript; charset=utf-8"),
            ("/live/icon.svg", "image/svg+xml"),
        ] {
            let file = page().find(|file| file.path == path).unwrap();
            assert_eq!(file.content_type, expected);
        }
    }

    /// The languages of `handlers.js`, and the file of most of their handlers in `code.js`.
    const SOURCES: [(&str, &str); 3] = [
        ("rust", "src/app/endpoints.rs"),
        ("flask", "originals/flask/app.py"),
        ("fastapi", "originals/fastapi/app.py"),
    ];

    fn text(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the text between the first `open` and the next `close`.
    fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
        let (_, rest) = text.split_once(open)?;
        rest.split_once(close).map(|(inner, _)| inner)
    }

    #[test]
    fn the_handlers_on_the_page_are_those_of_the_servers() {
        let page = text("src/live/page/handlers.js");
        let names = text("src/live/page/code.js");
        for (language, file) in SOURCES {
            assert!(names.contains(file), "code.js does not name {file}");
            let mut shown = 0;
            for handler in page.split(&format!("\n    {language}: {{")).skip(1) {
                let (handler, _) = handler.split_once("\n    },").unwrap();
                let code = between(handler, "code: `", "`").unwrap();
                let source = text(between(handler, "file: \"", "\"").unwrap_or(file));
                let mut after = 0;
                for part in code.split("…\n").map(str::trim_end) {
                    let found = source[after..].find(part);
                    let at = found.unwrap_or_else(|| panic!("not in the source:\n{part}"));
                    after += at + part.len();
                }
                let line = between(handler, "waitsAt: \"", "\"").unwrap();
                let lit = code.lines().filter(|text| text.contains(line)).count();
                assert_eq!(lit, 1, "{line:?} is on {lit} lines of:\n{code}");
                shown += 1;
            }
            assert!(shown >= 4, "only {shown} handlers in {language}");
        }
    }
}
