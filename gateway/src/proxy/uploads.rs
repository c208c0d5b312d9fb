use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The requests whose body is still awaited, in all and by client: so that one client that never sends its bodies does
/// not take the places of all. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Uploads(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// One such request, as long as this lives.
#[derive(Debug)]
pub struct UploadPlace {
    uploads: Uploads,
    client: IpAddr,
}

impl Uploads {
    /// Takes a place, unless all of `most` are taken, or `client` has `of_one` already.
    pub(super) fn take(&self, client: IpAddr, most: usize, of_one: usize) -> Option<UploadPlace> {
        let mut counts = self.counts();
        let own = counts.by_client.get(&client).copied().unwrap_or_default();
        if counts.all >= most || own >= of_one {
            return None;
        }
        counts.all += 1;
        counts.by_client.insert(client, own + 1);
        Some(UploadPlace { uploads: self.clone(), client })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A panic while the lock is held leaves whole numbers behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut counts = self.uploads.counts();
        counts.all -= 1;
        if let Entry::Occupied(mut own) = counts.by_client.entry(self.client) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_does_not_take_the_places_of_all() {
        let uploads = Uploads::default();
        let [greedy, other, third] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));

        let held: Vec<_> = (0..9).filter_map(|_| uploads.take(greedy, 4, 2)).collect();
        let others = [uploads.take(other, 4, 2), uploads.take(other, 4, 2)];

        assert_eq!(held.len(), 2);
        assert!(others.iter().all(Option::is_some));
        assert!(uploads.take(third, 4, 2).is_none(), "all places are taken");
        drop(held);
        assert!(uploads.take(third, 4, 2).is_some());
        drop(others);
        assert_eq!(uploads.counts().all, 0);
        assert!(uploads.counts().by_client.is_empty());
    }
}
