use std::{collections::HashMap, fmt, rc::Rc};

use foldhash::fast::RandomState;

use super::Principal;

/// Tokens whose signature held, by their bytes: a bounded number, of which those used lately stay.
///
/// There are two generations. What is new or used goes into the young one; when that is full it becomes the old one,
/// and what was not used since the last time is forgotten, all at once and without looking at each.
pub(super) struct Cache {
    most: usize,
    keys: Option<u64>,
    young: Generation,
    old: Generation,
}

type Generation = HashMap<Box<[u8]>, Rc<Principal>, RandomState>;

impl Cache {
    /// Keeps at most `most` tokens.
    pub(super) fn new(most: usize) -> Self {
        Self { most, keys: None, young: Generation::default(), old: Generation::default() }
    }

    /// Returns whom a token speaks of, where it was verified by the key set of this number.
    pub(super) fn get(&mut self, keys: u64, token: &[u8]) -> Option<Rc<Principal>> {
        if self.keys != Some(keys) {
            self.young.clear();
            self.old.clear();
            self.keys = Some(keys);
            return None;
        }
        if let Some(principal) = self.young.get(token) {
            return Some(principal.clone());
        }
        let (token, principal) = self.old.remove_entry(token)?;
        self.keep(token, principal.clone());
        Some(principal)
    }

    /// Keeps a token that was verified by the key set that was asked for last.
    pub(super) fn put(&mut self, token: &[u8], principal: Rc<Principal>) {
        self.keep(token.into(), principal);
    }

    /// Forgets a token.
    pub(super) fn remove(&mut self, token: &[u8]) {
        self.young.remove(token);
        self.old.remove(token);
    }

    fn keep(&mut self, token: Box<[u8]>, principal: Rc<Principal>) {
        if self.young.len() >= self.most.div_ceil(2) {
            // What was here is dropped, its room is used again.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        if self.most > 0 {
            self.young.insert(token, principal);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Shows how many tokens there are, and none of them: whoever has one is whom it speaks of.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("most", &self.most).field("len", &self.len()).finish_non_exhaustive()
    }
}
