//! The console's page: the files that the browser gets, which are part of the binary.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::OnceLock,
};

/// Every file of the page by its name below `/console/`; the first is also what `/` answers.
const FILES: &[(&str, &[u8])] = &[("index.html", include_bytes!("page/index.html"))];

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
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "webmanifest") => "application/json",
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
    fn a_browser_runs_or_shows_every_file() {
        for (name, bytes) in FILES {
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
            assert!(!bytes.is_empty(), "{name}");
        }
    }
}
