use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use common::auth::{Issuer, Jwks, Role};

use crate::{domain::KeySchedule, repository::KeptKey};

/// The keys as of the last commit, for whoever signs or publishes. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Arc<ArcSwapOption<Published>>);

#[derive(Debug)]
struct Published {
    keys: Vec<KeptKey>,
    starts: Vec<u64>,
    document: Bytes,
}

impl Keyring {
    /// Signs and publishes by `keys` from here on; they are on disk, and ascend by the time from which they sign.
    pub(super) fn publish(&self, keys: Vec<KeptKey>) {
        let document = Jwks::of(keys.iter().map(|kept| &kept.key)).to_json().into();
        let starts = keys.iter().map(|kept| kept.signs_from).collect();
        self.0.store(Some(Arc::new(Published { keys, starts, document })));
    }

    /// Whether there are keys.
    pub fn is_ready(&self) -> bool {
        self.0.load().is_some()
    }

    /// The document that publishes them, or `None` as long as there are none.
    pub fn document(&self) -> Option<Bytes> {
        self.0.load().as_ref().map(|published| published.document.clone())
    }

    /// Writes a token for `subject`, good from `now` on, or `None` as long as there are no keys.
    pub fn token(&self, issuer: &Issuer, subject: &str, role: &Role, now: u64) -> Option<String> {
        let published = self.0.load();
        let published = published.as_ref()?;
        let signing = KeySchedule::signing(&published.starts, now)?;
        Some(issuer.token(&published.keys.get(signing)?.key, subject, role, now))
    }

    /// The names of the keys, and from when each signs.
    pub(super) fn list(&self) -> Vec<(String, u64)> {
        let published = self.0.load();
        let keys = published.iter().flat_map(|published| &published.keys);
        keys.map(|kept| (kept.key.kid().to_owned(), kept.signs_from)).collect()
    }
}
