//! Files on a real disk: what is there after each end, also where the file system knows no files without a name.
#![expect(
    clippy::disallowed_methods,
    reason = "what a kill or a stranger leaves is put there by hand"
)]

use std::io::Read as _;
use std::path::PathBuf;

use agnes_store::Fault;
use tempfile::TempDir;

use super::directory::Way;
use super::*;

/// Both ways in which a file comes into being.
const WAYS: [Way; 2] = [Way::Nameless, Way::Named];

struct Place {
    root: TempDir,
    way: Way,
}

impl Place {
    fn new(way: Way) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { root, way }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("files")
    }

    fn open(&self) -> (Files, Vec<Unsettled>) {
        let directory = Directory::open(&self.dir()).unwrap();
        Files::over(directory.by(self.way)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir()).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn id(text: &str) -> DataId {
    text.parse().unwrap()
}

async fn part(files: &Files, content: &[u8]) -> Part {
    let mut part = files.begin(content.len() as u64).await.unwrap();
    part.write(content).await.unwrap();
    part
}

async fn publish(files: &Files, name: &str, content: &[u8]) -> Arc<Stored> {
    let part = part(files, content).await;
    let published = files.publish(id(name), part, |_, _| async { Ok(()) }).await;
    published.unwrap().0
}

async fn content(files: &Files, name: &str) -> Vec<u8> {
    let (_, mut file) = files.read(id(name)).await.unwrap();
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    content
}

fn full() -> StoreError {
    StoreError::Disk {
        fault: Fault::Full,
        why: "full".to_owned(),
    }
}

#[tokio::test]
async fn a_file_is_there_whole_and_again_after_a_start() {
    for way in WAYS {
        let place = Place::new(way);
        let large: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
        let (files, _) = place.open();
        let stored = publish(&files, "in.c-crm.orders", &large).await;
        let empty = publish(&files, "empty", b"").await;
        assert_eq!(
            empty.name.sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        drop(files);
        let (files, unsettled) = place.open();
        assert_eq!(unsettled, []);
        assert_eq!(files.list(), [empty, stored]);
        assert_eq!(content(&files, "in.c-crm.orders").await, large);
        assert_eq!(place.names().len(), 2, "{way:?}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_was_not_finished() {
    for way in WAYS {
        let place = Place::new(way);
        let (files, _) = place.open();
        let begun = part(&files, &vec![7; 1 << 20]).await;
        assert_eq!(place.names().len(), usize::from(way == Way::Named));
        drop(begun);
        // the block that was being written keeps it until it is written
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while !place.names().is_empty() {
            assert!(std::time::Instant::now() < end, "{:?}", place.names());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // as a kill leaves one
        std::mem::forget(part(&files, b"half").await);
        drop(files);
        let (files, _) = place.open();
        assert!(
            place.names().is_empty() && files.list().is_empty(),
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn without_its_row_a_file_neither_comes_nor_goes() {
    for way in WAYS {
        let place = Place::new(way);
        let (files, _) = place.open();
        publish(&files, "a", b"old").await;
        let before = place.names();
        let new = part(&files, b"new").await;
        let refused = files.publish(id("a"), new, |_, _| async { Err(full()) });
        assert!(matches!(refused.await, Err(Refused::Store(_))));
        let refused = files.remove(&id("a"), |_| async { Err(full()) }).await;
        assert!(matches!(refused, Err(Refused::Store(_))));
        assert_eq!(place.names(), before);
        assert_eq!(content(&files, "a").await, b"old");
    }
}

#[tokio::test]
async fn what_a_kill_interrupted_ends_as_the_log_has_it() {
    let lost = || async { Err(StoreError::Lost("killed".to_owned())) };
    for (told, arrived, stayed) in [(Told::Yes, true, false), (Told::No, false, true)] {
        let place = Place::new(Way::Nameless);
        let (files, _) = place.open();
        publish(&files, "going", b"going").await;
        publish(&files, "kept", b"old").await;
        let new = part(&files, b"new").await;
        assert!(files.publish(id("kept"), new, |_, _| lost()).await.is_err());
        assert!(files.remove(&id("going"), |_| lost()).await.is_err());
        assert_eq!(content(&files, "kept").await, b"old");
        drop(files);

        let (files, unsettled) = place.open();
        assert_eq!(unsettled.len(), 2);
        for one in unsettled {
            files.settle(one, told).await.unwrap();
        }
        let now: &[u8] = if arrived { b"new" } else { b"old" };
        assert_eq!(content(&files, "kept").await, now);
        assert_eq!(files.read(id("going")).await.is_ok(), stayed);
        assert_eq!(place.names().len(), 1 + usize::from(stayed));
        drop(files);
        assert_eq!(place.open().1, []);
    }
}

#[tokio::test]
async fn of_two_versions_on_the_disk_the_newest_counts_and_the_other_goes() {
    let place = Place::new(Way::Nameless);
    let (files, _) = place.open();
    let old = publish(&files, "a", b"old").await;
    // as a kill leaves it between the rename and the removal
    let aside = place.root.path().join("aside");
    std::fs::copy(place.dir().join(old.name.to_string()), &aside).unwrap();
    let new = publish(&files, "a", b"new").await;
    assert!(new.name.version > old.name.version);
    std::fs::copy(&aside, place.dir().join(old.name.to_string())).unwrap();
    drop(files);
    let (files, _) = place.open();
    assert_eq!(content(&files, "a").await, b"new");
    assert_eq!(place.names(), [new.name.to_string()]);
    // and one that could not be removed does not come back when the newest is
    std::fs::copy(&aside, place.dir().join(old.name.to_string())).unwrap();
    files.remove(&id("a"), |_| async { Ok(()) }).await.unwrap();
    assert!(place.names().is_empty());
}

#[tokio::test]
async fn a_reader_keeps_what_it_has_opened() {
    let place = Place::new(Way::Nameless);
    let (files, _) = place.open();
    publish(&files, "a", b"old").await;
    let (_, mut file) = files.read(id("a")).await.unwrap();
    publish(&files, "a", b"new").await;
    files.remove(&id("a"), |_| async { Ok(()) }).await.unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"old");
    assert!(matches!(files.read(id("a")).await, Err(Refused::Missing)));
}

#[tokio::test]
async fn links_and_strange_names_are_neither_served_nor_touched() {
    let place = Place::new(Way::Nameless);
    let (files, _) = place.open();
    let stored = publish(&files, "a", b"content").await;
    drop(files);
    let secret = place.root.path().join("secret");
    std::fs::write(&secret, "content").unwrap();
    let inside = place.dir().join(stored.name.to_string());
    std::fs::remove_file(&inside).unwrap();
    std::os::unix::fs::symlink(&secret, &inside).unwrap();
    std::fs::write(place.dir().join("notes.txt"), "mine").unwrap();
    let (files, _) = place.open();
    assert!(files.list().is_empty());
    assert!(matches!(files.read(id("a")).await, Err(Refused::Missing)));
    assert_eq!(place.names().len(), 2);

    let linked = place.root.path().join("linked");
    std::os::unix::fs::symlink(place.dir(), &linked).unwrap();
    assert!(Files::open(&linked).is_err());
}

#[tokio::test]
async fn a_length_that_leaves_no_room_for_the_database_is_refused_at_once() {
    let place = Place::new(Way::Nameless);
    let (files, _) = place.open();
    let Err(Refused::Disk(why)) = files.begin(u64::MAX).await else {
        panic!("it was begun");
    };
    assert_eq!(why.kind(), std::io::ErrorKind::StorageFull);
}
