//! A line of columns, each as wide as it should be on the screen.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// A line that is being written.
pub(super) struct Row {
    line: Line<'static>,
    used: usize,
    width: usize,
}

impl Row {
    /// An empty one of this width.
    pub fn new(width: usize) -> Self {
        Self { line: Line::default(), used: 0, width }
    }

    /// Adds a column: text that is cut where it is longer, and blanks where it is shorter.
    pub fn cell(mut self, text: &str, columns: usize, style: Style) -> Self {
        let columns = columns.min(self.width - self.used);
        let text = fitted(text, columns);
        let blanks = columns - shown(&text);
        self.line.push_span(Span::styled(text, style));
        self.line.push_span(Span::raw(" ".repeat(blanks)));
        self.used += columns;
        self
    }

    /// Adds text as it is, as far as there is room.
    pub fn text(self, text: &str, style: Style) -> Self {
        let columns = shown(text);
        self.cell(text, columns, style)
    }

    /// How many columns are left.
    pub fn room(&self) -> usize {
        self.width - self.used
    }

    /// The line.
    pub fn done(self) -> Line<'static> {
        self.line
    }
}

/// How many columns a text takes.
pub(super) fn shown(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text, cut where it is longer than so many columns.
pub(super) fn fitted(text: &str, columns: usize) -> String {
    if shown(text) <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        if shown(&cut) + 1 > columns {
            cut.pop();
            break;
        }
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// The text in lines of so many columns at most, cut between words where there are any.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            line.push_str(word);
        } else if shown(line) + 1 + shown(word) <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| fitted(line, columns)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_it_should_be_whatever_is_in_it() {
        for text in
            ["", "abc", "abcdefgh", "注文注文注文", "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", "注"]
        {
            let line = Row::new(20).cell(text, 5, Style::new()).cell("|", 1, Style::new()).done();
            assert_eq!(line.width(), 6, "{line}");
        }
        assert_eq!(fitted("abcdefgh", 5), "abcd…");
        assert_eq!(fitted("注文注文", 5), "注文…");
        assert_eq!(fitted("abc", 0), "");
    }

    #[test]
    fn a_row_never_grows_beyond_its_width() {
        let row = Row::new(7).cell("abc", 5, Style::new()).text("defghi", Style::new());

        assert_eq!(row.room(), 0);
        assert_eq!(row.text("more", Style::new()).done().to_string(), "abc  d…");
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable no", 5), ["unbr…", "no"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
