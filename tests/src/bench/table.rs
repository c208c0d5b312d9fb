//! A table that reads well in a terminal and is Markdown at the same time.

use std::fmt;

/// Rows of text under a head. The first column is aligned to the left, the others, numbers, to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Has a head and no row.
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).into()] }
    }

    /// Adds a row; cells that are missing at its end stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
        cells.resize(self.rows[0].len(), String::new());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(|column| width(column).max(3)).collect();

        for (number, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "| {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            writeln!(f)?;
            if number == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    match column {
                        0 => write!(f, "|{}|", "-".repeat(width + 2))?,
                        _ => write!(f, "{}:|", "-".repeat(width + 1))?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// A whole number with commas between the thousands.
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with so many digits as say something.
pub fn short(number: f64) -> String {
    match number.abs() {
        100.0.. => thousands(number),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// A time in the unit that suits it.
pub fn time(nanos: f64) -> String {
    match nanos {
        1e9.. => format!("{} s", short(nanos / 1e9)),
        1e6.. => format!("{} ms", short(nanos / 1e6)),
        _ => format!("{} µs", short(nanos / 1e3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_even_columns() {
        let mut table = Table::new(["who", "figure"]);
        table.row(["µ|x".into(), "1".into()]);
        table.row(["longer".into()]);

        let expected = "\
            | who    | figure |\n\
            |--------|-------:|\n\
            | µ\\|x   |      1 |\n\
            | longer |        |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn numbers_are_written_for_readers() {
        assert_eq!(
            [0.0, 999.0, 1000.0, 1_234_567.4, -1000.0].map(thousands),
            ["0", "999", "1,000", "1,234,567", "-1,000"]
        );
        assert_eq!([0.123, 12.34, 123.4].map(short), ["0.12", "12.3", "123"]);
        assert_eq!([1500.0, 2.5e6, 1.2e9].map(time), ["1.50 µs", "2.50 ms", "1.20 s"]);
    }
}
