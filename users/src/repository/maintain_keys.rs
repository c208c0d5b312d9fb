use base64::{Engine, prelude::BASE64_STANDARD};
use common::{
    auth::SigningKey,
    store::{Command, Importance, StoreError, Tables, Transaction},
};
use serde::{Deserialize, Serialize};

use super::SIGNING_KEYS;
use crate::domain::KeySchedule;

/// Most keys that are looked at; there are two or three.
const MOST: usize = 64;

/// Makes a key where one is due and removes those that are over. Replies with all that are left, by the time from
/// which they sign, once they are on disk: so no token is ever signed by a key that a crash could lose.
#[derive(Clone, Debug)]
pub struct MaintainKeys {
    /// When what is due.
    pub schedule: KeySchedule,
    /// The key to take where one is due; the caller makes it.
    pub fresh: SigningKey,
}

/// A key and its time.
#[derive(Clone, Debug)]
pub struct KeptKey {
    /// The key.
    pub key: SigningKey,
    /// From when it signs, in seconds of the Unix epoch.
    pub signs_from: u64,
}

/// A key as it is kept. It has no debug output, since it holds the secret.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredKey {
    seed: String,
    created_at: u64,
    signs_from: u64,
}

impl Command for MaintainKeys {
    type Outcome = Vec<KeptKey>;

    const IMPORTANCE: Importance = Importance::Upkeep;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Vec<KeptKey>, StoreError> {
        let now = u64::try_from(transaction.now().as_second()).unwrap_or(0);
        let stored = transaction.page(SIGNING_KEYS, "", None, MOST)?.items;
        let mut keys =
            stored.into_iter().map(|(kid, key)| kept(&kid, &key)).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.signs_from);

        if let Some(signs_from) = self.schedule.new_key(keys.last().map(|key| key.signs_from), now) {
            let key = self.fresh;
            let stored = StoredKey {
                seed: BASE64_STANDARD.encode(key.expose_seed()),
                created_at: key.created_at(),
                signs_from,
            };
            transaction.put(SIGNING_KEYS, key.kid(), &stored)?;
            keys.push(KeptKey { key, signs_from });
        }
        while let [oldest, successor, ..] = keys.as_slice()
            && self.schedule.is_over(successor.signs_from, now)
        {
            transaction.remove(SIGNING_KEYS, oldest.key.kid())?;
            keys.remove(0);
        }
        Ok(keys)
    }
}

fn kept(kid: &str, stored: &StoredKey) -> Result<KeptKey, StoreError> {
    let seed = BASE64_STANDARD.decode(&stored.seed).ok().and_then(|seed| seed.try_into().ok());
    // Says which, and nothing of what is in it.
    let seed = seed.ok_or_else(|| StoreError::Corrupt(format!("signing_keys {kid}: not 32 bytes")))?;
    Ok(KeptKey { key: SigningKey::from_seed(&seed, stored.created_at), signs_from: stored.signs_from })
}
