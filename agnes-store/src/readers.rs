//! Reading what is not held in memory: the audit log.
//!
//! Always true: readers have connections of their own and never wait for the writer; a few at a time, so that a flood of
//! queries cannot take the memory.
//!
//! Does not: write.

use std::sync::{Mutex, PoisonError};

use duckdb::Connection;
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// How many read at once: more would only share the same two cores.
const READERS: usize = 4;

/// Connections for reading.
#[derive(Debug)]
pub(crate) struct Readers {
    origin: Mutex<Connection>,
    idle: Mutex<Vec<Connection>>,
    slots: Semaphore,
}

impl Readers {
    /// `origin` is cloned for each reader.
    pub(crate) fn new(origin: Connection) -> Self {
        Self {
            origin: Mutex::new(origin),
            idle: Mutex::new(Vec::new()),
            slots: Semaphore::new(READERS),
        }
    }

    /// A permit to read; hold it while reading.
    pub(crate) async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.slots.acquire().await.map_err(|_| Error::Closed)
    }

    /// Runs `work` on a connection. Blocking.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = lock(&self.origin).try_clone()?;
                connection.execute_batch(crate::USE_CATALOG)?;
                connection
            }
        };
        let result = work(&connection);
        lock(&self.idle).push(connection);
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
