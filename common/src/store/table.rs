use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;

/// Names a table of values `V` by text keys, kept in the order of the keys.
pub struct Table<V> {
    pub(super) name: &'static str,
    values: PhantomData<fn() -> V>,
}

impl<V> Table<V> {
    /// A name is used for one type of values only.
    pub const fn new(name: &'static str) -> Self {
        Self { name, values: PhantomData }
    }
}

impl<V> Clone for Table<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Table<V> {}

/// Some entries of a table, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Whether more follow.
    pub more: bool,
}

/// What can be read from a snapshot and from a running transaction alike.
pub trait Tables {
    /// Returns the bytes under `key`, or `None`.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn get_bytes(&self, table: &'static str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns up to `limit` entries whose keys start with `prefix`, in the order of their keys; those after
    /// `prefix` + `after` where that is given.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn page_bytes(
        &self,
        table: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, Vec<u8>)>, StoreError>;

    /// Returns the value under `key`, or `None`.
    ///
    /// # Errors
    /// When the file cannot be read, or the value not decoded.
    fn get<V: DeserializeOwned>(&self, table: Table<V>, key: &str) -> Result<Option<V>, StoreError> {
        self.get_bytes(table.name, key)?.map(|bytes| decode(table.name, key, &bytes)).transpose()
    }

    /// Returns up to `limit` keys (without `prefix`) and values; see [`page_bytes`](Self::page_bytes).
    ///
    /// # Errors
    /// When the file cannot be read, or a value not decoded.
    fn page<V: DeserializeOwned>(
        &self,
        table: Table<V>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, V)>, StoreError> {
        let Page { items, more } = self.page_bytes(table.name, prefix, after, limit)?;
        let items = items
            .into_iter()
            .map(|(key, bytes)| decode(table.name, &key, &bytes).map(|value| (key, value)))
            .collect::<Result<_, _>>()?;
        Ok(Page { items, more })
    }
}

pub(super) fn encode(table: &str, key: &str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Corrupt(format!("{table} {key}: {error}")))
}

pub(super) fn decode<V: DeserializeOwned>(table: &str, key: &str, bytes: &[u8]) -> Result<V, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("{table} {key}: {error}")))
}
