//! What there is: the directory, and what is in it in memory.
//!
//! Always true: what memory has is on the disk, and the newest of its id; a change is on the disk before memory has it.
//!
//! Does not: wait for anything but the disk: everything here blocks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fs::File;
use std::io::{Error, Result};
use std::sync::{Arc, PoisonError, RwLock};

use super::directory::Directory;
use super::id::DataId;
use super::name::{Entry, Name};
use super::{Refused, Stored, Told, Unsettled};

#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) directory: Arc<Directory>,
    index: RwLock<BTreeMap<DataId, Arc<Stored>>>,
}

/// What was found.
pub(super) struct Found {
    pub(super) shelf: Shelf,
    pub(super) unsettled: Vec<Unsettled>,
    /// The highest version that was ever given, as far as the directory knows.
    pub(super) last: u64,
}

impl Shelf {
    /// Looks, and removes what uploads that were cut off and replacements have left.
    pub(super) fn over(directory: Directory) -> Result<Found> {
        let mut index: BTreeMap<DataId, Arc<Stored>> = BTreeMap::new();
        let (mut unsettled, mut last) = (Vec::new(), 0);
        for text in directory.names()? {
            let name = match Entry::of(&text) {
                Some(Entry::Whole(name)) => name,
                Some(Entry::Part) => {
                    directory.remove(&text)?;
                    continue;
                }
                Some(Entry::Ready(name)) => {
                    last = last.max(name.version);
                    unsettled.push(Unsettled::Arriving(name));
                    continue;
                }
                Some(Entry::Leaving(name)) => {
                    unsettled.push(Unsettled::Leaving(name));
                    continue;
                }
                None => {
                    let path = directory.path().display();
                    tracing::warn!("files: {path}: {text:?} is nothing of ours and stays");
                    continue;
                }
            };
            last = last.max(name.version);
            let bytes = match directory.read(&text) {
                Ok((_, bytes)) => bytes,
                Err(e) => {
                    tracing::error!("files: {text}: {e}; it is not served");
                    continue;
                }
            };
            let stored = Arc::new(Stored { name, bytes });
            let replaced = match index.entry(stored.name.id.clone()) {
                Slot::Vacant(slot) => {
                    slot.insert(stored);
                    continue;
                }
                Slot::Occupied(mut slot) if slot.get().name.version < stored.name.version => {
                    slot.insert(stored)
                }
                Slot::Occupied(_) => stored,
            };
            directory.remove(&replaced.name.to_string())?;
        }
        directory.sync()?;
        let shelf = Self {
            directory: Arc::new(directory),
            index: RwLock::new(index),
        };
        Ok(Found {
            shelf,
            unsettled,
            last,
        })
    }

    pub(super) fn settle(&self, one: &Unsettled, told: Told) -> Result<()> {
        let directory = &self.directory;
        match (one, told) {
            (Unsettled::Arriving(name), Told::Yes) => self.publish(name.clone()).map(drop),
            (Unsettled::Arriving(name), Told::No) => directory.remove(&name.ready()),
            (Unsettled::Leaving(name), Told::Yes) => self.let_go(name),
            (Unsettled::Leaving(name), Told::No) => directory.remove(&name.leaving()),
        }?;
        directory.sync()
    }

    /// A file that is ready is there from now on, and what was there under its id is not.
    pub(super) fn publish(&self, name: Name) -> Result<Arc<Stored>> {
        let (_, bytes) = self.directory.read(&name.ready())?;
        self.directory.rename(&name.ready(), &name.to_string())?;
        let stored = Arc::new(Stored { name, bytes });
        let replaced = {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            index.insert(stored.name.id.clone(), Arc::clone(&stored))
        };
        if let Some(replaced) = replaced
            && let Err(e) = self.directory.remove(&replaced.name.to_string())
        {
            let name = &replaced.name;
            tracing::warn!("files: {name}: {e}; it was replaced, the next start removes it");
        }
        Ok(stored)
    }

    /// No file has the id of `name` any more; its mark goes last. Older versions that could not be removed go too, the oldest
    /// first, so that none of them comes back.
    pub(super) fn let_go(&self, name: &Name) -> Result<()> {
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            if let Slot::Occupied(slot) = index.entry(name.id.clone())
                && slot.get().name.version <= name.version
            {
                slot.remove();
            }
        }
        let names = self.directory.names()?.into_iter();
        let mut gone: Vec<Name> = names
            .filter_map(|text| match Entry::of(&text) {
                Some(Entry::Whole(there)) => Some(there),
                _ => None,
            })
            .filter(|there| there.id == name.id && there.version <= name.version)
            .collect();
        gone.sort_by_key(|name| name.version);
        for name in gone {
            self.directory.remove(&name.to_string())?;
        }
        self.directory.sync()?;
        self.directory.remove(&name.leaving())
    }

    pub(super) fn list(&self) -> Vec<Arc<Stored>> {
        self.look(|index| index.values().cloned().collect())
    }

    pub(super) fn find(&self, id: &DataId) -> Option<Arc<Stored>> {
        self.look(|index| index.get(id).cloned())
    }

    pub(super) fn read(&self, id: &DataId) -> std::result::Result<(Arc<Stored>, File), Refused> {
        let mut stored = self.find(id).ok_or(Refused::Missing)?;
        loop {
            let why = match self.directory.read(&stored.name.to_string()) {
                Ok((file, bytes)) if bytes == stored.bytes => return Ok((stored, file)),
                Ok((_, bytes)) => {
                    Error::other(format!("has {bytes} bytes in place of {}", stored.bytes))
                }
                Err(why) => why,
            };
            // replaced or removed since it was looked up?
            let now = self.find(id).ok_or(Refused::Missing)?;
            if now == stored {
                let what = format!("{}: {why}", stored.name);
                return Err(Error::new(why.kind(), what).into());
            }
            stored = now;
        }
    }

    fn look<T>(&self, at: impl FnOnce(&BTreeMap<DataId, Arc<Stored>>) -> T) -> T {
        at(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}
