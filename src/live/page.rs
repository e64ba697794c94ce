//! The files of the live page, which the front serves.

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its path at the front.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// The page: it refers to nothing but these files, the servers' events and their endpoints.
pub const PAGE: &[File] = &[
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        bytes: include_bytes!("page/index.html"),
    },
    File {
        path: "/live/page.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("page/page.css"),
    },
    File {
        path: "/live/icon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("page/icon.svg"),
    },
    script("/live/page.js", include_bytes!("page/page.js")),
    script("/live/ask.js", include_bytes!("page/ask.js")),
    script("/live/bars.js", include_bytes!("page/bars.js")),
    script("/live/controls.js", include_bytes!("page/controls.js")),
    script("/live/dom.js", include_bytes!("page/dom.js")),
    script("/live/experiment.js", include_bytes!("page/experiment.js")),
    script("/live/history.js", include_bytes!("page/history.js")),
    script("/live/lane.js", include_bytes!("page/lane.js")),
    script("/live/server.js", include_bytes!("page/server.js")),
    script("/live/states.js", include_bytes!("page/states.js")),
    script("/live/stream.js", include_bytes!("page/stream.js")),
    script("/live/words.js", include_bytes!("page/words.js")),
];

const fn script(path: &'static str, bytes: &'static [u8]) -> File {
    File {
        path,
        content_type: "text/javascript; charset=utf-8",
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// nginx serves the directory, and by this form of name (`nginx/maps.conf`).
    #[test]
    fn the_page_is_all_that_is_in_its_directory() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/live/page");
        let files: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed = PAGE.iter().map(|file| match file.path {
            "/" => "index.html".to_owned(),
            path => path.strip_prefix("/live/").unwrap().to_owned(),
        });
        assert_eq!(files, listed.collect());
        for file in files.iter().filter(|file| *file != "index.html") {
            let (name, kind) = file.split_once('.').unwrap();
            assert!(
                name.bytes().all(|letter| letter.is_ascii_lowercase()),
                "{file}"
            );
            assert!(["css", "js", "svg"].contains(&kind), "{file}");
        }
    }
}
