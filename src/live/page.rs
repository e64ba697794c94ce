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
}
