//! A TOML document that notes every mistake on its way to the settings, with line and key, instead of stopping at
//! the first.

use std::{collections::HashMap, ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    mistakes::Mistake,
    quantity::{parse_duration, parse_size},
};

/// Where each key stands, and what is wrong so far.
pub(super) struct Document<'i> {
    name: &'i str,
    text: &'i str,
    /// Keys such as `routes[1].path`, counted from 1, with their lines.
    lines: HashMap<String, usize>,
    mistakes: Vec<Mistake>,
}

/// A table of the document, whose keys are taken one by one; whatever is left at the end is a mistake.
pub(super) struct Section<'d, 'i> {
    document: &'d mut Document<'i>,
    /// The table's own key; empty for the document as a whole.
    key: String,
    table: DeTable<'i>,
    /// What was asked for.
    known: Vec<&'static str>,
}

/// A value that a key may have.
pub(super) trait Readable: Sized {
    /// Completes the sentence "… must be …".
    const EXPECTED: &'static str;

    /// Returns `None` where it is anything else.
    fn read(value: &DeValue<'_>) -> Option<Self>;
}

/// A number of bytes.
pub(super) struct Size(pub u64);

impl<'i> Document<'i> {
    /// Reads `text`, which is called `name` in messages, by `read`. Where the text is no TOML, nothing is read.
    pub(super) fn read(name: &'i str, text: &'i str, read: impl FnOnce(&mut Section<'_, 'i>)) -> Self {
        let mut document = Self { name, text, lines: HashMap::new(), mistakes: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map(|span| document.line(&span));
            // What follows in the same line follows from the same mistake.
            if line.is_none() || document.mistakes.iter().all(|earlier| earlier.line != line) {
                document.note_at(line, "", error.message());
            }
        }
        if document.mistakes.is_empty() {
            document.section("", table.into_inner(), read);
        }
        document
    }

    /// Notes what is wrong with the key, in the line of the nearest key above it that the document has. What else is
    /// wrong with the same key, follows from the first as a rule, and is left out.
    pub(super) fn note(&mut self, key: &str, reason: impl Into<String>) {
        if self.mistakes.iter().any(|mistake| mistake.key == key) {
            return;
        }
        let line = std::iter::successors(Some(key), |key| parent(key)).find_map(|key| self.lines.get(key));
        self.note_at(line.copied(), key, reason);
    }

    /// Whether the document has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// Every mistake so far.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    fn note_at(&mut self, line: Option<usize>, key: &str, reason: impl Into<String>) {
        // Which element of a list is meant, its line and the text itself say.
        let key = if key.ends_with(']') { parent(key).unwrap_or_default() } else { key };
        self.mistakes.push(Mistake {
            file: self.name.to_owned(),
            line,
            key: key.to_owned(),
            reason: reason.into(),
        });
    }

    fn section(&mut self, key: &str, table: DeTable<'i>, read: impl FnOnce(&mut Section<'_, 'i>)) {
        let mut section = Section { document: self, key: key.to_owned(), table, known: Vec::new() };
        read(&mut section);
        section.note_unknown_keys();
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// The value as it was written.
    fn source(&self, span: &Range<usize>) -> &'i str {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

impl<'i> Section<'_, 'i> {
    /// Reads the key into `target`, which stays what it is where the key is missing or wrong.
    pub(super) fn read<T: Readable>(&mut self, key: &'static str, target: &mut T) {
        if let Some((key, value)) = self.take(key)
            && let Some(value) = self.value(&key, &value)
        {
            *target = value;
        }
    }

    /// Reads a list into `target`, without those of its elements that are wrong.
    pub(super) fn read_list<T: Readable>(&mut self, key: &'static str, target: &mut Vec<T>) {
        if let Some(elements) = self.take_list(key) {
            *target = elements.iter().filter_map(|(key, value)| self.value(key, value)).collect();
        }
    }

    /// Reads a size, in bytes or with a unit.
    pub(super) fn read_size<T: TryFrom<u64>>(&mut self, key: &'static str, target: &mut T) {
        let mut size = None;
        self.read(key, &mut size);
        if let Some(value) = size.and_then(|Size(bytes)| T::try_from(bytes).ok()) {
            *target = value;
        }
    }

    /// Reads a table, where there is one.
    pub(super) fn table(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, 'i>)) {
        if let Some((key, value)) = self.take(key) {
            self.section(&key, value, read);
        }
    }

    /// Reads a table, or notes `off` by returning `true`.
    pub(super) fn table_or_off(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'i>),
    ) -> bool {
        match self.take(key) {
            Some((_, value)) if value.get_ref().as_str() == Some("off") => return true,
            Some((key, value)) => self.section(&key, value, read),
            None => {}
        }
        false
    }

    /// Reads every table within the table `key`, in the order of the document.
    pub(super) fn tables(&mut self, key: &'static str, mut read: impl FnMut(&str, &mut Section<'_, 'i>)) {
        let Some((key, value)) = self.take(key) else {
            return;
        };
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            self.wrong(&key, &span, "a table");
            return;
        };
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let key = format!("{key}.{}", name.get_ref());
            self.document.lines.insert(key.clone(), self.document.line(&name.span()));
            self.section(&key, value, |section| read(name.get_ref(), section));
        }
    }

    /// Reads every table of a list, and returns whether there is such a list at all.
    pub(super) fn list_of_tables(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_, 'i>),
    ) -> bool {
        let Some(elements) = self.take_list(key) else {
            return false;
        };
        for (key, value) in elements {
            self.section(&key, value, &mut read);
        }
        true
    }

    /// Notes a key that must be there and is not.
    pub(super) fn require(&mut self, key: &'static str) {
        let full = self.full(key);
        if !self.document.has(&full) {
            self.document.note(&full, "is missing");
        }
    }

    fn section(&mut self, key: &str, value: Spanned<DeValue<'i>>, read: impl FnOnce(&mut Section<'_, 'i>)) {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => self.document.section(key, table, read),
            _ => self.wrong(key, &span, "a table"),
        }
    }

    fn take_list(&mut self, key: &'static str) -> Option<Vec<(String, Spanned<DeValue<'i>>)>> {
        let (key, value) = self.take(key)?;
        let span = value.span();
        let DeValue::Array(elements) = value.into_inner() else {
            self.wrong(&key, &span, "a list");
            return None;
        };
        let elements = elements.into_iter().enumerate().map(|(index, value)| {
            let key = format!("{key}[{}]", index + 1);
            self.document.lines.insert(key.clone(), self.document.line(&value.span()));
            (key, value)
        });
        Some(elements.collect())
    }

    fn take(&mut self, key: &'static str) -> Option<(String, Spanned<DeValue<'i>>)> {
        self.known.push(key);
        let (name, value) = self.table.remove_entry(key)?;
        let full = self.full(key);
        self.document.lines.insert(full.clone(), self.document.line(&name.span()));
        Some((full, value))
    }

    fn value<T: Readable>(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let read = T::read(value.get_ref());
        if read.is_none() {
            self.wrong(key, &value.span(), T::EXPECTED);
        }
        read
    }

    fn wrong(&mut self, key: &str, span: &Range<usize>, expected: &str) {
        let shown = shown(self.document.source(span));
        self.document.note(key, format!("{shown} must be {expected}"));
    }

    fn note_unknown_keys(self) {
        for name in self.table.keys() {
            let full = join(&self.key, name.get_ref());
            let line = self.document.line(&name.span());
            let reason = format!("is no key here; known are {}", self.known.join(", "));
            self.document.note_at(Some(line), &full, reason);
        }
    }

    fn full(&self, key: &str) -> String {
        join(&self.key, key)
    }
}

fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// Returns the key of the table or list that holds the key.
fn parent(key: &str) -> Option<&str> {
    key.rfind(['.', '[']).map(|end| &key[..end])
}

/// Returns what was written, cut where it is long, and without what stands before an `@`: that may be a password.
pub(super) fn shown(source: &str) -> String {
    const MOST: usize = 60;
    let line = source.lines().next().unwrap_or_default();
    let plain = match line.rfind('@') {
        Some(at) => {
            let start = line.find("//").map_or(0, |slashes| slashes + 2).min(at);
            let start = if start == 0 && line.starts_with('"') { 1 } else { start };
            format!("{}***{}", &line[..start], &line[at..])
        }
        None => line.to_owned(),
    };
    match plain.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

fn integer(value: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(value.as_str(), value.radix()).ok()
}

impl Readable for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl Readable for String {
    const EXPECTED: &'static str = "a text in quotes";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Readable for usize {
    const EXPECTED: &'static str = "a whole number";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        integer(value.as_integer()?)?.try_into().ok()
    }
}

impl Readable for u32 {
    const EXPECTED: &'static str = "a whole number up to 4294967295";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        integer(value.as_integer()?)?.try_into().ok()
    }
}

impl Readable for f64 {
    const EXPECTED: &'static str = "a number such as 0.5";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => {
                integer(number).and_then(|number| u32::try_from(number).ok()).map(f64::from)
            }
            _ => None,
        }
    }
}

impl Readable for Duration {
    const EXPECTED: &'static str = "a duration such as \"500ms\", \"5s\" or \"1m\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        parse_duration(value.as_str()?)
    }
}

impl Readable for Option<Size> {
    const EXPECTED: &'static str = "a size such as 4096, \"64 KiB\" or \"1 MiB\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let bytes = match value {
            DeValue::Integer(number) => integer(number)?.try_into().ok()?,
            _ => parse_size(value.as_str()?)?,
        };
        Some(Some(Size(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_value_holds_no_password_and_is_short() {
        for (source, expected) in [
            ("\"users:3001\"", "\"users:3001\""),
            ("\"http://me:secret@users:3001\"", "\"http://***@users:3001\""),
            ("\"http://me:s@cret@users\"", "\"http://***@users\""),
            ("\"http://me:s//cret@users\"", "\"http://***@users\""),
            ("\"me:secret@users\"", "\"***@users\""),
            ("me:secret@users", "***@users"),
            ("[\"http://a:b@c\",\n\"x\"]", "[\"http://***@c\","),
            ("@", "***@"),
        ] {
            assert_eq!(shown(source), expected);
        }
        assert_eq!(shown(&"ü".repeat(100)).chars().count(), 61);
    }

    #[test]
    fn a_key_stands_within_what_is_before_its_last_dot_or_bracket() {
        assert_eq!(parent("routes[1].path"), Some("routes[1]"));
        assert_eq!(parent("routes[1]"), Some("routes"));
        assert_eq!(parent("routes"), None);
    }
}
