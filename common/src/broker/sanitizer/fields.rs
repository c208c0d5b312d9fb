/// How many values one message may bring in its headers: in memory each takes many times its bytes.
pub(super) const MOST_VALUES: usize = 1024;

/// How deep tables and arrays may be nested: more than anybody means, and little of a thread's stack.
pub(super) const MOST_NESTED: usize = 32;

/// The fields of one frame, read from the first on, and changed where they stand. Each reader returns `None` where the bytes
/// end too early or mean nothing.
pub(super) struct Fields<'a>(&'a mut [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Option<&'a mut [u8]> {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn long(&mut self) -> Option<usize> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?) as usize)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    /// Up to 255 bytes, of which it makes UTF-8.
    pub(super) fn short_string(&mut self) -> Option<()> {
        let length = self.octet()?;
        make_utf8(self.take(length.into())?);
        Some(())
    }

    /// Names and values, of which there may be so many and nested so deep.
    pub(super) fn table(&mut self) -> Option<()> {
        self.entries(true, MOST_NESTED, &mut { MOST_VALUES })
    }

    fn entries(&mut self, named: bool, nested: usize, values: &mut usize) -> Option<()> {
        let length = self.long()?;
        let mut inner = Fields(self.take(length)?);
        while !inner.0.is_empty() {
            match values.checked_sub(1) {
                Some(fewer) => *values = fewer,
                // Of less than an array of bytes needs, only a few can be left.
                None if inner.make_bytes(named).is_some() => return Some(()),
                None => {}
            }
            if named {
                inner.short_string()?;
            }
            inner.value(nested, values)?;
        }
        Some(())
    }

    /// Makes one array of bytes, without a name or with an empty one, of all that is left.
    fn make_bytes(&mut self, named: bool) -> Option<()> {
        let head = if named { &b"\0x"[..] } else { b"x" };
        let length = u32::try_from(self.0.len().checked_sub(head.len() + 4)?).ok()?;
        self.take(head.len())?.copy_from_slice(head);
        self.take(4)?.copy_from_slice(&length.to_be_bytes());
        Some(())
    }

    fn value(&mut self, nested: usize, values: &mut usize) -> Option<()> {
        let kind = &mut self.take(1)?[0];
        match (*kind, nested.checked_sub(1)) {
            (b'F' | b'A', None) => {
                // An array of bytes has its length in the same four bytes.
                *kind = b'x';
                let length = self.long()?;
                self.skip(length)
            }
            (b'F', Some(nested)) => self.entries(true, nested, values),
            (b'A', Some(nested)) => self.entries(false, nested, values),
            (b'S' | b'x', _) => {
                let length = self.long()?;
                self.skip(length)
            }
            (b't' | b'b' | b'B', _) => self.skip(1),
            (b's' | b'U' | b'u', _) => self.skip(2),
            (b'I' | b'i' | b'f', _) => self.skip(4),
            (b'D', _) => self.skip(5),
            (b'L' | b'l' | b'd' | b'T', _) => self.skip(8),
            (b'V', _) => Some(()),
            _ => None,
        }
    }
}

/// Puts a question mark in the place of each byte that is no UTF-8.
fn make_utf8(mut bytes: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(bytes) {
        let (at, count) = (error.valid_up_to(), error.error_len());
        let end = count.map_or(bytes.len(), |count| at + count);
        bytes[at..end].fill(b'?');
        bytes = &mut bytes[end..];
    }
}
