//! The console's page: the files that the browser gets, which are part of the binary.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::OnceLock,
};

/// Every file of the page by its name below `/console/`; the first is also what `/` answers.
const FILES: &[(&str, &[u8])] = &[
    ("index.html", include_bytes!("page/index.html")),
    ("console.css", include_bytes!("page/console.css")),
    ("icon.svg", include_bytes!("page/icon.svg")),
    ("actors.js", include_bytes!("page/actors.js")),
    ("announce.js", include_bytes!("page/announce.js")),
    ("api.js", include_bytes!("page/api.js")),
    ("clock.js", include_bytes!("page/clock.js")),
    ("confirm.js", include_bytes!("page/confirm.js")),
    ("dead_letters.js", include_bytes!("page/dead_letters.js")),
    ("dom.js", include_bytes!("page/dom.js")),
    ("experiments.js", include_bytes!("page/experiments.js")),
    ("follow.js", include_bytes!("page/follow.js")),
    ("level.js", include_bytes!("page/level.js")),
    ("links.js", include_bytes!("page/links.js")),
    ("main.js", include_bytes!("page/main.js")),
    ("picture.js", include_bytes!("page/picture.js")),
    ("processes.js", include_bytes!("page/processes.js")),
    ("receipts.js", include_bytes!("page/receipts.js")),
    ("session.js", include_bytes!("page/session.js")),
    ("states.js", include_bytes!("page/states.js")),
    ("stream.js", include_bytes!("page/stream.js")),
    ("tabs.js", include_bytes!("page/tabs.js")),
    ("theme.js", include_bytes!("page/theme.js")),
    ("timeline.js", include_bytes!("page/timeline.js")),
    ("verdict.js", include_bytes!("page/verdict.js")),
    ("words.js", include_bytes!("page/words.js")),
];

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub struct PageFile {
    /// Its media type.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
    /// Names this content, quoted as `ETag` has it.
    pub etag: &'static str,
}

/// The file that is at `path`, such as `/` or `/console/console.css`.
pub fn at(path: &str) -> Option<PageFile> {
    let number = match path {
        "/" => 0,
        _ => {
            let name = path.strip_prefix("/console/")?;
            FILES.iter().position(|(known, _)| *known == name)?
        }
    };
    let (name, bytes) = FILES[number];
    Some(PageFile { content_type: content_type(name), bytes, etag: &etags()[number] })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn etags() -> &'static [String] {
    static ETAGS: OnceLock<Vec<String>> = OnceLock::new();
    ETAGS.get_or_init(|| {
        let etag = |bytes: &[u8]| {
            // The same for the same bytes, in whatever process.
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            format!("\"{:016x}\"", hasher.finish())
        };
        FILES.iter().map(|(_, bytes)| etag(bytes)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_at_the_root_and_nothing_is_that_is_not_in_the_table() {
        let root = at("/").expect("the page");

        assert!(root.content_type.starts_with("text/html"));
        assert_eq!(at("/console/index.html").expect("the same").etag, root.etag);
        for nowhere in ["", "/console/", "/console/state", "/console/../index.html", "/index.html"] {
            assert!(at(nowhere).is_none(), "{nowhere}");
        }
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/page");
        let files = std::fs::read_dir(folder).expect("the folder of the page");
        let mut missing: Vec<_> = files
            .map(|file| file.expect("a file").file_name().into_string().expect("a plain name"))
            .collect();
        missing.retain(|name| !FILES.iter().any(|(known, _)| known == name));

        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn a_browser_runs_or_shows_every_file() {
        for (name, bytes) in FILES {
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
            assert!(!bytes.is_empty(), "{name}");
        }
    }
}
