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

    /// Handlers by the language that `handlers.js` calls them, and the files that `code.js` names.
    const SOURCES: [(&str, &str); 3] = [
        ("rust", "src/app/endpoints.rs"),
        ("flask", "originals/flask/app.py"),
        ("fastapi", "originals/fastapi/app.py"),
    ];

    fn text(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn the_handlers_on_the_page_are_those_of_the_servers() {
        let page = text("src/live/page/handlers.js");
        let names = text("src/live/page/code.js");
        let mut shown = 0;
        for (language, file) in SOURCES {
            assert!(names.contains(file), "code.js does not name {file}");
            let source = text(file);
            let start = format!("    {language}: {{\n      code: `");
            for snippet in page.split(&start).skip(1) {
                let (code, rest) = snippet.split_once('`').unwrap();
                let mut after = 0;
                for part in code.split("…\n") {
                    let part = part.trim_end();
                    let found = source[after..].find(part);
                    let at = found.unwrap_or_else(|| panic!("not in {file}:\n{part}"));
                    after += at + part.len();
                }
                let (_, line) = rest.split_once("waitsAt: \"").unwrap();
                let (line, _) = line.split_once('"').unwrap();
                let lit = code.lines().filter(|text| text.contains(line)).count();
                assert_eq!(lit, 1, "{line:?} is on {lit} lines of:\n{code}");
                shown += 1;
            }
        }
        assert!(shown >= 4 * SOURCES.len(), "only {shown} handlers");
    }
}
