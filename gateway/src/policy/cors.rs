use crate::settings::CorsSettings;

/// Which pages of other origins may call, and what they may see; the lines that never change are written in advance.
///
/// Only listed origins are ever named in an answer. Whoever answers for a service drops the service's own
/// `Access-Control-*` first, for a browser refuses an answer with two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    settings: CorsSettings,
    /// What follows `Access-Control-Allow-Origin` in the answer to a preflight.
    preflight_lines: Vec<u8>,
    /// What follows it in the answer to an actual request.
    actual_lines: Vec<u8>,
}

impl Cors {
    /// Prepares the answers that `settings` ask for.
    pub fn new(settings: CorsSettings) -> Self {
        let credentials =
            if settings.credentials { "Access-Control-Allow-Credentials: true\r\n" } else { "" };
        let preflight = format!(
            "{credentials}Access-Control-Allow-Methods: {}\r\nAccess-Control-Allow-Headers: {}\r\n\
             Access-Control-Max-Age: {}\r\n",
            settings.methods.join(", "),
            settings.headers.join(", "),
            settings.max_age.as_secs(),
        );
        let expose = match settings.expose.is_empty() {
            true => String::new(),
            false => format!("Access-Control-Expose-Headers: {}\r\n", settings.expose.join(", ")),
        };
        let actual = format!("{credentials}{expose}");
        Self { settings, preflight_lines: preflight.into_bytes(), actual_lines: actual.into_bytes() }
    }

    /// What it was made of.
    pub fn settings(&self) -> &CorsSettings {
        &self.settings
    }

    /// Writes the header lines that answer a preflight, an `OPTIONS` with an origin and
    /// `Access-Control-Request-Method`, and returns whether it is allowed. Where it is not, they say only what the
    /// answer depends on, so that the browser refuses the call.
    pub fn preflight(
        &self,
        origin: &[u8],
        method: Option<&[u8]>,
        headers: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> bool {
        out.extend_from_slice(
            b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n",
        );
        let allowed = self.lists_origin(origin)
            && method.is_some_and(|method| self.lists_method(method))
            && headers.is_none_or(|headers| self.lists_headers(headers));
        if allowed {
            self.write_origin(origin, out);
            out.extend_from_slice(&self.preflight_lines);
        }
        allowed
    }

    /// Writes the header lines of the answer to an actual request. What the answer depends on is said to every
    /// request, also to one without an origin, so that no cache gives one page's answer to another.
    pub fn write_headers(&self, origin: Option<&[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Vary: Origin\r\n");
        if let Some(origin) = origin
            && self.lists_origin(origin)
        {
            self.write_origin(origin, out);
            out.extend_from_slice(&self.actual_lines);
        }
    }

    fn write_origin(&self, origin: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"Access-Control-Allow-Origin: ");
        out.extend_from_slice(if self.settings.any_origin() { b"*" } else { origin });
        out.extend_from_slice(b"\r\n");
    }

    /// Browsers write an origin in one way only, so bytes are compared.
    fn lists_origin(&self, origin: &[u8]) -> bool {
        self.settings.any_origin() || self.settings.origins.iter().any(|listed| listed.as_bytes() == origin)
    }

    /// Those that need no permission (Fetch, section 2.2.1) may be asked for all the same.
    fn lists_method(&self, method: &[u8]) -> bool {
        matches!(method, b"GET" | b"HEAD" | b"POST")
            || self.settings.methods.iter().any(|listed| listed.as_bytes() == method)
    }

    fn lists_headers(&self, names: &[u8]) -> bool {
        names.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).all(|name| {
            name.is_empty()
                || self.settings.headers.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &[u8] = b"https://shop.example";

    fn cors() -> Cors {
        Cors::new(CorsSettings {
            origins: vec!["https://shop.example".to_owned(), "http://localhost:5173".to_owned()],
            ..CorsSettings::default()
        })
    }

    fn preflight(cors: &Cors, origin: &[u8], method: Option<&str>, headers: Option<&str>) -> (bool, String) {
        let mut out = Vec::new();
        let allowed = cors.preflight(origin, method.map(str::as_bytes), headers.map(str::as_bytes), &mut out);
        (allowed, String::from_utf8(out).expect("it is ASCII"))
    }

    fn actual(cors: &Cors, origin: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        cors.write_headers(origin, &mut out);
        String::from_utf8(out).expect("it is ASCII")
    }

    #[test]
    fn a_listed_origin_is_told_what_it_may_send() {
        let (allowed, lines) =
            preflight(&cors(), SHOP, Some("PUT"), Some("content-type, Authorization,idempotency-key"));

        assert!(allowed);
        assert_eq!(
            lines,
            "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n\
             Access-Control-Allow-Origin: https://shop.example\r\n\
             Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n\
             Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, X-Request-Id, Traceparent\r\n\
             Access-Control-Max-Age: 600\r\n",
        );
    }

    #[test]
    fn what_is_not_listed_is_refused_and_never_reflected() {
        for (origin, method, headers) in [
            (&b"https://evil.example"[..], Some("GET"), None),
            (b"https://shop.example.evil.example", Some("GET"), None),
            (b"https://shop.exampl", Some("GET"), None),
            (b"http://shop.example", Some("GET"), None),
            (b"HTTPS://shop.example", Some("GET"), None),
            (b"https://shop.example:443", Some("GET"), None),
            (b"null", Some("GET"), None),
            (b"*", Some("GET"), None),
            (b"", Some("GET"), None),
            (b"\xff", Some("GET"), None),
            (SHOP, Some("TRACE"), None),
            (SHOP, Some("put"), None),
            (SHOP, None, None),
            (SHOP, Some("GET"), Some("content-type, x-warren-subject")),
        ] {
            let (allowed, lines) = preflight(&cors(), origin, method, headers);

            assert!(!allowed, "{origin:?} {method:?} {headers:?}");
            assert!(!lines.contains("Access-Control-Allow"), "{lines}");
            if origin != SHOP {
                assert_eq!(actual(&cors(), Some(origin)), "Vary: Origin\r\n");
            }
        }
    }

    #[test]
    fn a_listed_origin_may_read_the_answer_and_what_it_needs_of_the_headers() {
        let lines = actual(&cors(), Some(SHOP));

        assert!(lines.starts_with("Vary: Origin\r\nAccess-Control-Allow-Origin: https://shop.example\r\n"));
        for exposed in ["X-Request-Id", "RateLimit", "Retry-After", "Location", "Idempotency-Replayed"] {
            assert!(lines.contains(exposed), "{lines}");
        }
        assert!(lines.ends_with("\r\n"));
        assert_eq!(actual(&cors(), None), "Vary: Origin\r\n");
    }

    #[test]
    fn credentials_are_allowed_only_where_the_file_says_so() {
        let with = Cors::new(CorsSettings { credentials: true, ..cors().settings().clone() });
        let allowed = "Access-Control-Allow-Credentials: true\r\n";

        assert!(actual(&with, Some(SHOP)).contains(allowed));
        assert!(preflight(&with, SHOP, Some("GET"), None).1.contains(allowed));
        assert!(!actual(&cors(), Some(SHOP)).contains("Credentials"));
        assert!(!actual(&with, Some(b"https://evil.example")).contains("Credentials"));
    }

    #[test]
    fn where_any_origin_may_call_none_is_named() {
        let any = Cors::new(CorsSettings { origins: vec!["*".to_owned()], ..CorsSettings::default() });

        assert!(actual(&any, Some(b"https://evil.example")).contains("Access-Control-Allow-Origin: *\r\n"));
        assert!(preflight(&any, b"null", Some("GET"), None).0);
    }
}
