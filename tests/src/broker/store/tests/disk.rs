use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// A disk that can be full, and whose power can be cut. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is read.
    seen: Vec<u8>,
    /// What is there after a power cut for certain.
    durable: Vec<u8>,
    /// What was written since, and may be there.
    unsynced: Vec<Write>,
    /// Writes until the power is cut.
    left: Option<usize>,
    full: bool,
}

#[derive(Clone, Debug)]
enum Write {
    At(u64, Vec<u8>),
    Length(u64),
}

impl Write {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::At(offset, data) => {
                let from = *offset as usize;
                image.resize(image.len().max(from + data.len()), 0);
                image[from..from + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => image.resize(*length as usize, 0),
        }
    }
}

impl Disk {
    /// Cuts the power after so many more writes.
    pub(super) fn cut_after(&self, writes: usize) {
        self.state().left = Some(writes);
    }

    /// From now on there is no more room, or there is again.
    pub(super) fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// The disk as it is found when the power is back: what was synced is there, and of the rest what `kept` says.
    pub(super) fn after_cut(&self, mut kept: impl FnMut() -> bool) -> Self {
        let state = self.state();
        let mut image = state.durable.clone();
        state.unsynced.iter().filter(|_| kept()).for_each(|write| write.apply(&mut image));
        Self(Arc::new(Mutex::new(State { seen: image.clone(), durable: image, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds it")
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.left == Some(0) { Err(io::Error::other("the power is cut")) } else { Ok(state) }
    }

    fn change(&self, write: Write) -> io::Result<()> {
        let mut state = self.powered()?;
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.left = state.left.map(|left| left - 1);
        write.apply(&mut state.seen);
        state.unsynced.push(write);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.powered()?.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.powered()?;
        let from = offset as usize;
        let bytes = state.seen.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Write::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.powered()?;
        let State { durable, unsynced, .. } = &mut *state;
        unsynced.drain(..).for_each(|write| write.apply(durable));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Write::At(offset, data.to_vec()))
    }
}
