use std::{
    fs::{self, File},
    io,
    path::Path,
};

use redb::{Builder, Database, DatabaseError};

/// Opens the database in `file`, or makes it.
///
/// It is made under another name, and gets its own once it is whole and on disk: whoever is killed while it is made leaves
/// no file behind that is not a database, at which every later start would fail.
///
/// # Errors
/// When the file cannot be made or read, or another process has it open.
pub fn open_or_make(builder: &Builder, file: &Path) -> Result<Database, DatabaseError> {
    if !file.try_exists().map_err(storage)? {
        make(builder, file)?;
    }
    builder.create(file)
}

fn make(builder: &Builder, file: &Path) -> Result<(), DatabaseError> {
    // Another process may be about to make the same file.
    let new = file.with_extension(format!("{}.new", std::process::id()));
    let made = builder.create(&new).map(drop).and_then(|()| name(&new, file));
    // Also where there was no room for the whole of it, or the next attempt would find the half.
    let removed = fs::remove_file(&new);
    made?;
    removed.map_err(storage)
}

/// Gives `new` the name `file` too, which lasts from then on.
fn name(new: &Path, file: &Path) -> Result<(), DatabaseError> {
    // Other than a renaming, this does not take the place of a file that another process has made meanwhile.
    match fs::hard_link(new, file) {
        // Without this the name may be gone after a loss of power, and with it whatever was committed.
        Ok(()) => {
            let folder = File::open(file.parent().unwrap_or(Path::new(".")));
            folder.and_then(|folder| folder.sync_all()).map_err(storage)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            // Not every file system has links; there it is made in its place.
            log::debug!("event=store_file_not_linked error={:?}", error.to_string());
            Ok(())
        }
    }
}

fn storage(error: io::Error) -> DatabaseError {
    DatabaseError::Storage(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    #[test]
    fn a_file_is_made_once_and_nothing_else_is_left() {
        let folder = TestFolder::new();
        fs::create_dir_all(folder.path()).expect("the folder is made");
        let file = folder.path().join("shop.redb");
        let names = || {
            let entries = fs::read_dir(folder.path()).expect("it can be read");
            entries.map(|entry| entry.expect("it can be read").file_name()).collect::<Vec<_>>()
        };

        let first = open_or_make(&Builder::new(), &file).expect("it is made");
        assert_eq!(names(), ["shop.redb"]);
        assert!(matches!(open_or_make(&Builder::new(), &file), Err(DatabaseError::DatabaseAlreadyOpen)));
        drop(first);
        open_or_make(&Builder::new(), &file).expect("it is opened");
        assert_eq!(names(), ["shop.redb"]);
    }
}
