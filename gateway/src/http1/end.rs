use memchr::memchr;

use super::HeadFault;

/// Looks for the end of a head in bytes that come little by little, each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// How many bytes have been looked at.
    seen: usize,
}

impl HeadScan {
    /// Whether nothing has been looked at.
    pub fn is_at_start(&self) -> bool {
        self.seen == 0
    }

    /// Returns the length of the head, its empty line included, once it is whole. `bytes` begin with the head
    /// and have only grown since the last time.
    ///
    /// # Errors
    /// When a line ends with a bare line feed, which some readers take for the end of a line and some do not.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadFault> {
        while let Some(found) = memchr(b'\n', &bytes[self.seen..]) {
            let feed = self.seen + found;
            match &bytes[..feed] {
                [.., b'\r', b'\n', b'\r'] => return Ok(Some(feed + 1)),
                [.., b'\r'] => self.seen = feed + 1,
                _ => return Err(HeadFault::BareLineFeed),
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_first_empty_line_however_its_bytes_come() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n";
        let mut scan = HeadScan::default();

        let ends: Vec<_> =
            (0..=bytes.len()).filter_map(|to| scan.end(&bytes[..to]).expect("it is sound")).collect();

        assert_eq!(ends.first(), Some(&27));
        assert_eq!(HeadScan::default().end(bytes), Ok(Some(27)));
    }

    #[test]
    fn a_bare_line_feed_ends_no_line() {
        for bytes in ["GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", "\n"] {
            assert_eq!(HeadScan::default().end(bytes.as_bytes()), Err(HeadFault::BareLineFeed), "{bytes:?}");
        }
    }
}
