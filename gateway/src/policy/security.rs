/// The header lines of what the gateway answers itself, problems above all: nobody is to guess a type, keep a copy,
/// be told where a reader came from, or show it within a page. Answers of the services pass as they came.
pub const SECURITY_HEADERS: &[u8] = b"X-Content-Type-Options: nosniff\r\n\
    Cache-Control: no-store\r\n\
    Referrer-Policy: no-referrer\r\n\
    Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_is_a_line_of_its_own() {
        let text = std::str::from_utf8(SECURITY_HEADERS).expect("it is ASCII");

        let lines: Vec<_> = text.split_terminator("\r\n").collect();

        assert!(text.ends_with("\r\n"));
        assert_eq!(lines.len(), 4);
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a name and a value");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'), "{line}");
            assert_eq!(value.trim(), value);
            assert!(!value.contains(['\r', '\n']));
        }
    }
}
