//! The repository's own sources, read as words: what the code names, without its comments.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the repository is.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the repository")
}

/// The Rust files below `folder`, a path from the repository's root, as paths from there.
///
/// # Panics
///
/// When there are none: then whoever asks would check nothing.
pub fn rust_files(folder: &str) -> Vec<String> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten()
        {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let path = path.strip_prefix(root()).expect("it is below the root");
                files.push(path.to_str().expect("names are UTF-8").to_owned());
            }
        }
    }
    assert!(!files.is_empty(), "no Rust file is below {folder}");
    files.sort();
    files
}

/// Something that code names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub kind: Kind,
    /// An identifier, the inside of a string literal as it is written, or one character.
    pub text: String,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Identifier,
    Literal,
    Punctuation,
}

/// Reads code into what it names. Comments, lifetimes, numbers and characters name nothing.
pub fn tokens(code: &str) -> Vec<Token> {
    Lexer { rest: code, line: 1, tokens: Vec::new() }.read()
}

/// The same without what stands under `#[cfg(test)]`.
pub fn tokens_outside_tests(code: &str) -> Vec<Token> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let tokens = tokens(code);
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_test = tokens[at..].iter().map(|token| token.text.as_str()).take(7).eq(CFG_TEST);
        if is_test {
            at = end_of_item(&tokens, at + CFG_TEST.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The words of a name or text, in lower case: `OrderCreated`, `order_created` and `order.created` are two.
pub fn words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(at + 1);
        let begins = character.is_uppercase()
            && before.is_some_and(|before| {
                // As in `orderId`, or after an abbreviation as in `HTTPOrder`.
                !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase())
            });
        if begins || !character.is_alphanumeric() {
            words.push(String::new());
        }
        if character.is_alphanumeric() {
            words.last_mut().expect("there is one").extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The place after the item that begins at `at`: after its semicolon, or after the brace that closes its first.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match (token.kind, token.text.as_str()) {
            (Kind::Punctuation, "{") => depth += 1,
            (Kind::Punctuation, "}") if depth == 1 => return index + 1,
            (Kind::Punctuation, "}") => depth -= 1,
            (Kind::Punctuation, ";") if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn read(mut self) -> Vec<Token> {
        while let Some(first) = self.rest.chars().next() {
            if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.skip(block_comment(self.rest));
            } else if let Some((open, inside, whole)) = literal(self.rest) {
                let text = &self.rest[open..open + inside];
                self.push(Kind::Literal, text);
                self.skip(whole);
            } else if first.is_alphabetic() || first == '_' {
                // A raw identifier is the same name.
                self.skip(if self.rest.starts_with("r#") { 2 } else { 0 });
                let end = end_of_word(self.rest);
                let text = &self.rest[..end];
                self.push(Kind::Identifier, text);
                self.skip(end);
            } else if first.is_numeric() {
                self.skip(end_of_word(self.rest));
            } else if first == '\'' {
                self.skip(character_or_lifetime(self.rest));
            } else {
                if !first.is_whitespace() {
                    let text = &self.rest[..first.len_utf8()];
                    self.push(Kind::Punctuation, text);
                }
                self.skip(first.len_utf8());
            }
        }
        self.tokens
    }

    fn push(&mut self, kind: Kind, text: &'a str) {
        self.tokens.push(Token { line: self.line, kind, text: text.to_owned() });
    }

    fn skip(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }
}

fn end_of_word(rest: &str) -> usize {
    rest.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(rest.len())
}

/// The length of a block comment, in which others may be nested.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Where the inside of a string literal begins, how long it is, and how long the whole is.
fn literal(rest: &str) -> Option<(usize, usize, usize)> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix);
        after.is_some_and(|after| match prefix.ends_with('r') {
            true => after.trim_start_matches('#').starts_with('"'),
            false => after.starts_with('"'),
        })
    })?;
    if !prefix.ends_with('r') {
        let open = prefix.len() + 1;
        let mut escaped = false;
        let inside = rest[open..].find(|character| {
            let closes = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            closes
        });
        let inside = inside.unwrap_or(rest.len() - open);
        return Some((open, inside, (open + inside + 1).min(rest.len())));
    }
    let hashes = rest[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let open = prefix.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = rest[open..].find(&close).unwrap_or(rest.len() - open);
    Some((open, inside, (open + inside + close.len()).min(rest.len())))
}

/// The length of `'a'`, `'\n'` or `'a`.
fn character_or_lifetime(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some(_)) => {
            characters.find(|(_, character)| *character == '\'').map_or(rest.len(), |(at, _)| at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1 + end_of_word(&rest[1..]),
    }
}
