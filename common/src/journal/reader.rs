use std::io;

use super::segments::Place;

/// The segments of a journal, newest first, each a string of lines, oldest first.
pub struct Lines<'a> {
    place: &'a Place,
    left: Option<std::vec::IntoIter<u64>>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        Self { place, left: None }
    }

    /// Reads the next segment; `None` after the oldest one.
    ///
    /// # Errors
    /// When the folder or the file cannot be read.
    pub fn next_segment(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.left.is_none() {
            self.left = Some(self.place.names()?.into_iter());
        }
        for name in self.left.iter_mut().flatten() {
            if let Some(bytes) = self.place.read(name)? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
