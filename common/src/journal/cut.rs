/// Cuts a text that somebody else wrote to at most `most` bytes, and shows that it was longer.
pub fn cut(text: &str, most: usize) -> String {
    match text.len() <= most {
        true => text.to_owned(),
        false => format!("{}…", &text[..text.floor_char_boundary(most)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("aéb", 2), "a…");
        assert_eq!(cut("aéb", 3), "aé…");
    }
}
