//! The cookies that a service gets. A browser sends a cookie to every port of a host, so the session of whoever is logged in at
//! the console comes to the public port as well; it is nothing for services.

use super::request::write_field;
use crate::console::access::COOKIE;

/// Appends a `Cookie` field without the console's cookie, and nothing where there is no other one.
pub(super) fn write_cookies(name: &str, value: &[u8], out: &mut Vec<u8>) {
    if !value.windows(COOKIE.len()).any(|part| part == COOKIE.as_bytes()) {
        return write_field(name, value, out);
    }
    let pairs = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let others: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && !is_of_console(pair)).collect();
    if !others.is_empty() {
        write_field(name, &others.join(&b"; "[..]), out);
    }
}

fn is_of_console(pair: &[u8]) -> bool {
    pair.split(|&byte| byte == b'=').next().is_some_and(|name| name.trim_ascii() == COOKIE.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_get_every_cookie_but_the_consoles() {
        for (sent, passed) in [
            ("theme=dark;lang=en", "cookie: theme=dark;lang=en\r\n"),
            ("theme=dark; warren_admin=0123abcd; lang=en", "cookie: theme=dark; lang=en\r\n"),
            ("warren_admin=0123abcd", ""),
            ("warren_admin=1;warren_admin = 2", ""),
            ("warren_administrator=x; y=warren_admin", "cookie: warren_administrator=x; y=warren_admin\r\n"),
            ("", "cookie: \r\n"),
        ] {
            let mut out = Vec::new();

            write_cookies("cookie", sent.as_bytes(), &mut out);

            assert_eq!(String::from_utf8_lossy(&out), passed, "{sent}");
        }
    }
}
