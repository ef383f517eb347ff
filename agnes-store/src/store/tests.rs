//! The store through its own functions, on a real file.

use crate::audit::query::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::users::NewUser;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&self) -> Arc<Store> {
        let options = Options {
            state_dir: self.dir.path().to_owned(),
            memory_limit_bytes: 256 << 20,
            threads: 2,
            program: PathBuf::from("/bin/false"),
            release: "test".to_owned(),
        };
        Arc::new(Store::open(&options, &self.dir.path().join("run")).unwrap())
    }
}

async fn close(store: Arc<Store>) {
    store.close().await.unwrap();
    drop(Arc::into_inner(store).unwrap());
}

fn origin() -> Origin {
    Origin {
        actor: "anonymous".to_owned(),
        ip: "192.0.2.1".to_owned(),
        user_agent: "test".to_owned(),
        request_id: "1".to_owned(),
        process: None,
        standing: None,
    }
}

fn person(email: &str) -> NewUser {
    NewUser {
        email: email.to_owned(),
        name: String::new(),
        password_hash: Some("$argon2id$".to_owned()),
        groups: Vec::new(),
    }
}

async fn all_rows(store: &Store) -> Vec<Row> {
    store
        .audit_page(Filter::default(), Cursor::default(), 1000)
        .await
        .unwrap()
        .0
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_of_a_hundred_bootstraps_at_once_exactly_one_wins() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    let mut tries = tokio::task::JoinSet::new();
    for n in 0..100 {
        let store = Arc::clone(&store);
        tries.spawn(async move {
            let email = format!("admin{n}@example.com");
            store
                .bootstrap(origin(), &email, "$argon2id$".to_owned(), None)
                .await
        });
    }
    let results = tries.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(_) | Err(Error::AlreadyBootstrapped)))
    );
    // the losers left no user behind: the winner and the scheduler
    assert_eq!(store.directory().all_users().len(), 2);
    let winner = results.into_iter().find_map(Result::ok).unwrap();
    close(store).await;

    let store = place.open();
    assert!(store.directory().is_admin(winner.id));
    assert_eq!(store.directory().user(winner.id).unwrap(), &winner);
    let rows = all_rows(&store).await;
    let bootstraps = rows.iter().filter(|row| row.action == "auth.bootstrapped");
    assert_eq!(bootstraps.count(), 1);
    close(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a09_the_last_admin_stays_whoever_removes_it_and_however_many_try() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    let mut admins = Vec::new();
    for n in 0..50 {
        let mut new = person(&format!("a{n}@example.com"));
        new.groups.push(crate::groups::ADMIN.to_owned());
        admins.push(store.create_user(origin(), new).await.unwrap().id);
    }
    let mut tries = tokio::task::JoinSet::new();
    for id in admins.iter().copied() {
        let (one, two) = (Arc::clone(&store), Arc::clone(&store));
        tries.spawn(async move { one.set_user_disabled(origin(), id, true).await.map(drop) });
        tries.spawn(async move { two.remove_member(origin(), crate::groups::ADMIN, id).await });
    }
    tries.join_all().await;
    let directory = store.directory();
    assert_eq!(directory.admins_who_can_sign_in(None), 1);
    let left = admins.iter().find(|id| {
        directory.is_admin(**id)
            && directory
                .user(**id)
                .is_some_and(|user| directory.can_sign_in(user))
    });
    let refused = store
        .set_user_disabled(origin(), *left.unwrap(), true)
        .await;
    assert!(matches!(refused, Err(Error::LastAdmin)), "{refused:?}");
    close(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_act_costs_its_batch_nothing() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    let mut tries = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        // every second address is taken twice
        tries.spawn(async move {
            let email = format!("u{}@example.com", n / 2);
            store.create_user(origin(), person(&email)).await
        });
    }
    let results = tries.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 100);
    let rows = all_rows(&store).await;
    let created = rows.iter().filter(|row| row.action == "user.created");
    assert_eq!(created.count(), 100);
    // numbered without a gap
    let mut seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    seqs.reverse();
    assert_eq!(
        seqs,
        (1..=i64::try_from(rows.len()).unwrap()).collect::<Vec<_>>()
    );
    close(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_fails_inside_the_engine_is_rolled_back_alone() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    let mut tries = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(&store);
        tries.spawn(async move {
            if n % 4 == 0 {
                let broken = store.act(|txn| txn.execute("INSERT INTO nowhere VALUES (1)", []));
                return broken.await.map(drop);
            }
            let created = store.create_user(origin(), person(&format!("u{n}@example.com")));
            created.await.map(drop)
        });
    }
    let results = tries.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 30);
    assert_eq!(store.directory().all_users().len(), 31);
    close(store).await;
    assert_eq!(place.open().directory().all_users().len(), 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_writes_survives_a_restart_and_ends_only_by_its_holder() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    let hold = Hold {
        id: "upgrade-1".to_owned(),
        since: "2026-01-01T00:00:00Z".to_owned(),
        by: "agnes-ops upgrade".to_owned(),
    };
    store.hold(hold.clone()).await.unwrap();
    let refused = store.create_user(origin(), person("a@example.com")).await;
    assert!(matches!(refused, Err(Error::Held(_))), "{refused:?}");
    store.probe().await.unwrap();
    store.canary().await.unwrap();
    store.refused(&origin(), "password", "user:a@example.com");
    close(store).await;

    let store = place.open();
    assert_eq!(store.held(), Some(hold));
    let stranger = store.release(Some("other".to_owned())).await;
    assert!(matches!(stranger, Err(Error::Held(_))));
    store.release(Some("upgrade-1".to_owned())).await.unwrap();
    store
        .create_user(origin(), person("a@example.com"))
        .await
        .unwrap();
    close(store).await;
}

/// A08: an act that was on its way when its caller was shut out does not happen.
#[tokio::test(flavor = "multi_thread")]
async fn a08_who_is_shut_out_meanwhile_acts_no_more() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    let user = store
        .create_user(origin(), person("a@example.com"))
        .await
        .unwrap();
    let let_in = Origin {
        standing: Some(crate::audit::Standing {
            user: user.id,
            epoch: user.epoch,
            by: crate::audit::By::Other,
        }),
        ..origin()
    };
    store
        .contain(origin(), user.id, "$unknown".to_owned())
        .await
        .unwrap();
    let token = crate::tokens::NewToken {
        name: "late".to_owned(),
        hash: "00".to_owned(),
        scopes: Vec::new(),
        expires_at: crate::clock::now() + time::Duration::days(1),
    };
    let late = store.create_token(let_in.clone(), user.id, token).await;
    assert!(matches!(late, Err(Error::Credential)), "{late:?}");
    let late = store
        .set_password(let_in.clone(), user.id, "$own".to_owned())
        .await;
    assert!(matches!(late, Err(Error::Credential)), "{late:?}");
    let late = store.create_user(let_in, person("b@example.com")).await;
    assert!(matches!(late, Err(Error::Credential)), "{late:?}");
    assert!(store.directory().tokens_of(user.id).is_empty());
    close(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_not_allowed_are_counted_for_each_caller() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    for (actor, times) in [("a@example.com", 3), ("b@example.com", 2)] {
        let of = Origin {
            actor: actor.to_owned(),
            ..origin()
        };
        for _ in 0..times {
            store.denied(&of, "GET /api/users");
        }
    }
    store.flush_refusals(Which::All).await.unwrap();
    for (actor, times) in [("a@example.com", 3), ("b@example.com", 2)] {
        let filter = Filter {
            actor: Some(actor.to_owned()),
            action: Some("auth.denied".to_owned()),
            outcome: Some("denied".to_owned()),
            ..Filter::default()
        };
        let (rows, _) = store
            .audit_page(filter, Cursor::default(), 10)
            .await
            .unwrap();
        assert_eq!(rows.iter().map(|row| row.count).sum::<i64>(), times);
        assert!(rows.iter().all(|row| row.resource == "GET /api/users"));
    }
    close(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_one_address_kind_and_minute_share_a_row_and_are_seen_at_once() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    for _ in 0..5 {
        store.refused(&origin(), "password", "user:a@example.com");
    }
    let filter = Filter {
        action: Some("auth.failed".to_owned()),
        ..Filter::default()
    };
    let (rows, _) = store
        .audit_page(filter.clone(), Cursor::default(), 10)
        .await
        .unwrap();
    // a minute may have ended in between
    assert_eq!(rows.iter().map(|row| row.count).sum::<i64>(), 5);
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    store.flush_refusals(Which::All).await.unwrap();
    let (rows, _) = store
        .audit_page(filter, Cursor::default(), 10)
        .await
        .unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    assert!(rows.iter().all(|row| row.seq > 0));
    close(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_pages_of_any_size_skip_no_refusal_that_waits() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    for n in 0..4 {
        let event = Event::done("test.done", format!("test:{n}"));
        store.record(origin(), event).await.unwrap();
    }
    for kind in ["password", "session", "personal"] {
        store.refused(&origin(), kind, "api");
    }
    let (whole, _) = store
        .audit_page(Filter::default(), Cursor::default(), 1000)
        .await
        .unwrap();
    assert!(whole.iter().filter(|row| row.seq == 0).count() >= 3 && whole.len() > 5);
    for limit in 1..=5 {
        let (mut paged, mut cursor) = (Vec::new(), Some(Cursor::default()));
        while let Some(from) = cursor {
            // as a caller has it
            let from = from.to_string().parse().unwrap();
            let (rows, next) = store
                .audit_page(Filter::default(), from, limit)
                .await
                .unwrap();
            assert!(rows.len() <= limit);
            paged.extend(rows);
            cursor = next;
        }
        let ids = |rows: &[Row]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
        assert_eq!(ids(&paged), ids(&whole), "pages of {limit}");
    }
    close(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn s05_a_checkpoint_succeeds_whoever_reads_and_writes_meanwhile_and_ends_no_read() {
    let place = Place::new();
    let store = place.open();
    store.ensure(&[]).await.unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped =
        |stop: &Arc<std::sync::atomic::AtomicBool>| stop.load(std::sync::atomic::Ordering::Relaxed);
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (reader, stop_reading) = (Arc::clone(&store), Arc::clone(&stop));
        busy.spawn(async move {
            while !stopped(&stop_reading) {
                reader
                    .audit_page(Filter::default(), Cursor::default(), 1000)
                    .await
                    .unwrap();
            }
        });
        let (writer, stop_writing) = (Arc::clone(&store), Arc::clone(&stop));
        busy.spawn(async move {
            while !stopped(&stop_writing) {
                writer
                    .record(origin(), Event::done("test.done", "test"))
                    .await
                    .unwrap();
            }
        });
    }
    for n in 0..40 {
        let done = store.checkpoint().await;
        assert!(done.is_ok(), "checkpoint {n}: {done:?}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    while let Some(ended) = busy.join_next().await {
        ended.unwrap();
    }
    close(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_folded_in_by_the_writer_without_waiting_for_the_timer() {
    let place = Place::new();
    let store = place.open();
    let text = "x".repeat(1 << 20);
    let mut longest = 0;
    for _ in 0..40 {
        let event = Event::done("test.done", "long").with("text", text.clone());
        store.record(Origin::server(), event).await.unwrap();
        longest = longest.max(store.figures().wal_bytes);
    }
    assert!(longest > 10 << 20, "{longest}");
    assert!(longest < 24 << 20, "{longest}");
    close(store).await;
}
