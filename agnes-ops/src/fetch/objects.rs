//! A place for objects, a bucket's prefix (`bucket`) or a directory: listed, put, read and removed.
//!
//! Always true: no object is held in memory beyond a piece of it; an object appears whole or not at all; what is put into a
//! directory is for its owner alone.
//!
//! Does not: know what the objects are.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use agnes_config::Remote;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutPayload};

use super::bucket::Bucket;
use super::{Failure, Fetcher, Reason, Refusal, innermost};

/// Of a file that is read or written.
const PIECE: usize = 8 << 20;

/// Is told of bytes that were moved.
pub(crate) type Moved = Arc<dyn Fn(u64) + Send + Sync>;

/// The place.
pub(crate) struct Objects<'a> {
    fetcher: &'a Fetcher,
    store: Store,
    prefix: String,
    shown: String,
}

enum Store {
    Directory(LocalFileSystem),
    Bucket(Box<Bucket>),
}

impl Fetcher {
    /// Opens it; of a bucket only the credentials are asked for, a directory must be there.
    ///
    /// # Errors
    /// `forbidden` without usable credentials, `not-published` without the directory.
    pub(crate) fn objects(&self, remote: &Remote) -> Result<Objects<'_>, Failure> {
        let (opened, prefix) = match remote {
            Remote::Directory(path) if path.is_dir() => {
                let made = LocalFileSystem::new_with_prefix(path).map_err(|e| refused(&e));
                let durable = made.map(|made| Store::Directory(made.with_fsync(true)));
                (durable, String::new())
            }
            Remote::Directory(_) => {
                let what = "there is no such directory";
                (Err(Refusal::new(Reason::NotPublished, what)), String::new())
            }
            Remote::Gcs { bucket, prefix } => {
                let opened = self.wait(Bucket::open(&self.options, bucket));
                (
                    opened.map(|opened| Store::Bucket(Box::new(opened))),
                    prefix.clone(),
                )
            }
        };
        let shown = remote.to_string();
        match opened {
            Ok(store) => Ok(Objects {
                fetcher: self,
                store,
                prefix,
                shown,
            }),
            Err(refusal) => Err(failure(&shown, refusal)),
        }
    }
}

impl Objects<'_> {
    /// The names directly below the place that others are below: what would be directories. Sorted.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn directories(&self) -> Result<Vec<String>, Failure> {
        let (mut directories, _) = self.list("")?;
        directories.sort();
        Ok(directories)
    }

    /// Everything below a directory of the place, as names in the place.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn below(&self, directory: &str) -> Result<Vec<String>, Failure> {
        let mut open = vec![directory.to_owned()];
        let mut found = Vec::new();
        while let Some(one) = open.pop() {
            let (directories, files) = self.list(&one)?;
            open.extend(directories.iter().map(|name| format!("{one}/{name}")));
            found.extend(files.iter().map(|name| format!("{one}/{name}")));
        }
        Ok(found)
    }

    /// Names of directories and of objects, without what is before them.
    fn list(&self, directory: &str) -> Result<(Vec<String>, Vec<String>), Failure> {
        let full = self.full(directory);
        self.run(async {
            match &self.store {
                Store::Bucket(bucket) => bucket.list(&full).await,
                Store::Directory(disk) => {
                    let path = Path::from(full.as_str());
                    let listed = disk.list_with_delimiter(Some(&path)).await;
                    let listed = listed.map_err(|e| refused(&e))?;
                    let last = |path: &Path| path.filename().map(str::to_owned);
                    let files = listed.objects.iter();
                    Ok((
                        listed.common_prefixes.iter().filter_map(last).collect(),
                        files.filter_map(|file| last(&file.location)).collect(),
                    ))
                }
            }
        })
    }

    /// Puts all of a file.
    ///
    /// # Errors
    /// [`Failure`]; nothing has the name then.
    pub(crate) fn put(&self, name: &str, file: File, moved: &Moved) -> Result<(), Failure> {
        let full = self.full(name);
        let disk = match &self.store {
            Store::Bucket(bucket) => {
                return self.run(bucket.put(&full, file, Arc::clone(moved)));
            }
            Store::Directory(disk) => disk,
        };
        // its files are made with what the process leaves to others
        let private = nix::sys::stat::Mode::from_bits_truncate(0o077);
        let before = nix::sys::stat::umask(private);
        let put = self.run(put_pieces(disk, &full, file, moved));
        nix::sys::stat::umask(before);
        put
    }

    /// Gives all bytes of an object to `to`, piece by piece; `None`: there is none.
    ///
    /// # Errors
    /// [`Failure`], also what `to` says.
    pub(crate) fn get(
        &self,
        name: &str,
        to: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<Option<u64>, Failure> {
        let full = self.full(name);
        let mut size = 0;
        let mut take = |piece: &[u8]| {
            size += piece.len() as u64;
            to(piece).map_err(|why| Refusal::new(Reason::Malformed, format!("{name}: {why}")))
        };
        let got = self.run(async {
            match &self.store {
                Store::Bucket(bucket) => bucket.get(&full, &mut take).await,
                Store::Directory(disk) => get_pieces(disk, &full, &mut take).await,
            }
        });
        match got {
            Ok(()) => Ok(Some(size)),
            Err(why) if why.reason == Reason::NotPublished => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// Removes an object; one that is not there is fine.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let full = self.full(name);
        let removed = self.run(async {
            match &self.store {
                Store::Bucket(bucket) => bucket.remove(&full).await,
                Store::Directory(disk) => {
                    let path = Path::from(full.as_str());
                    disk.delete(&path).await.map_err(|e| refused(&e))
                }
            }
        });
        match removed {
            Err(why) if why.reason == Reason::NotPublished => Ok(()),
            other => other,
        }
    }

    fn full(&self, name: &str) -> String {
        let parts = self.prefix.split('/').chain(name.split('/'));
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        parts.join("/")
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Failure> {
        let done = self.fetcher.wait(work);
        done.map_err(|refusal| failure(&self.shown, refusal))
    }
}

async fn put_pieces(
    disk: &LocalFileSystem,
    full: &str,
    mut file: File,
    moved: &Moved,
) -> Result<(), Refusal> {
    let mut upload = disk
        .put_multipart(&Path::from(full))
        .await
        .map_err(|e| refused(&e))?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let most = PIECE as u64;
        let read = std::io::Read::by_ref(&mut file)
            .take(most)
            .read_to_end(&mut piece);
        if let Err(why) = read {
            let _ = upload.abort().await;
            return Err(Refusal::new(
                Reason::Malformed,
                format!("read {full}: {why}"),
            ));
        }
        if piece.is_empty() {
            break;
        }
        let length = piece.len() as u64;
        let put = upload.put_part(PutPayload::from(piece)).await;
        if let Err(why) = put {
            let _ = upload.abort().await;
            return Err(refused(&why));
        }
        moved(length);
    }
    upload.complete().await.map(drop).map_err(|e| refused(&e))
}

async fn get_pieces(
    disk: &LocalFileSystem,
    full: &str,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let path = Path::from(full);
    let at_disk = disk.path_to_filesystem(&path).map_err(|e| refused(&e))?;
    // what is no file of its own is not opened: a fifo would be waited for, a link leads elsewhere
    match std::fs::symlink_metadata(&at_disk) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(Refusal::new(
                Reason::Malformed,
                format!("{full}: is no regular file"),
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Refusal::new(Reason::NotPublished, "not found"));
        }
        Err(error) => return Err(Refusal::new(Reason::Malformed, format!("{full}: {error}"))),
    }
    let size = disk.head(&path).await.map_err(|e| refused(&e))?.size;
    let mut at = 0;
    while at < size {
        let until = size.min(at + PIECE as u64);
        let piece = disk.get_range(&path, at..until).await;
        let piece = piece.map_err(|e| refused(&e))?;
        if piece.is_empty() {
            return Err(Refusal::new(
                Reason::Transient,
                format!("{full}: it ends early"),
            ));
        }
        take(&piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn failure(shown: &str, refusal: Refusal) -> Failure {
    Failure {
        reason: refusal.reason,
        url: shown.to_owned(),
        message: refusal.what,
        hint: refusal.hint,
    }
}

fn refused(error: &Error) -> Refusal {
    match error {
        Error::NotFound { .. } => Refusal::new(Reason::NotPublished, "not found"),
        Error::PermissionDenied { .. } => Refusal::new(Reason::Forbidden, "permission denied"),
        _ => Refusal::new(Reason::Malformed, innermost(error)),
    }
}
