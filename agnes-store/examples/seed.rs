//! Fills a database for `cargo xtask bench http` and `bench upgrade`: so many users, and an audit log of so many rows.
//!
//! Always true: everything is written by the store's own acts, so that the file, its log and the chain over it are what a
//! server would have written; it is closed as a server closes it.
//!
//! Does not: give anybody a password.
//!
//! Called as `seed <state directory> <users> <audit rows> [<bytes of noise a row>]`: noise is what no compression makes smaller.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use agnes_store::audit::{Event, Origin};
use agnes_store::users::NewUser;
use agnes_store::{Options, Store};
use tokio::task::JoinSet;

/// Acts under way at once: what the writer takes into one commit, twice.
const UNDER_WAY: usize = 512;

type Anything = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match seed().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("seed: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn seed() -> Result<(), Anything> {
    let mut arguments = env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("seed <state directory> <users> <audit rows>")
    };
    let (state_dir, users, rows): (PathBuf, usize, usize) =
        (next()?.into(), next()?.parse()?, next()?.parse()?);
    let noise: usize = env::args().nth(4).map_or(Ok(0), |bytes| bytes.parse())?;
    let options = Options {
        state_dir: state_dir.clone(),
        memory_limit_bytes: 1 << 30,
        threads: 2,
        program: env::current_exe()?,
        release: "seed".to_owned(),
    };
    let store = Arc::new(Store::open(&options, &state_dir.join("run"))?);
    many(users, |number| {
        let store = Arc::clone(&store);
        async move {
            let new = NewUser {
                email: format!("user-{number}@example.com"),
                name: format!("User {number}"),
                password_hash: None,
                groups: Vec::new(),
            };
            store.create_user(Origin::server(), new).await.map(drop)
        }
    })
    .await?;
    // making a user is a row already
    let written = usize::try_from(store.audit_head().0)?;
    many(rows.saturating_sub(written), |number| {
        let store = Arc::clone(&store);
        let user_agent = match noise {
            0 => "bench".to_owned(),
            bytes => noise_of(number, bytes),
        };
        async move {
            let origin = Origin {
                actor: format!("user-{}@example.com", number % users.max(1)),
                ip: "127.0.0.1".to_owned(),
                user_agent,
                request_id: format!("{number:032x}"),
                process: None,
                standing: None,
            };
            store
                .record(origin, Event::done("token.issued", "session"))
                .await
        }
    })
    .await?;
    let figures = store.figures();
    eprintln!(
        "seed: {} users, {} audit rows",
        figures.users, figures.audit_rows
    );
    Arc::into_inner(store)
        .ok_or("the store is still in use")?
        .close()
        .await?;
    Ok(())
}

/// Letters by a generator of Marsaglia's (xorshift64*), other ones for each number.
fn noise_of(number: usize, bytes: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letter = |_| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let index = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 58;
        let letter = usize::try_from(index).ok().and_then(|at| LETTERS.get(at));
        letter.map_or('.', |letter| char::from(*letter))
    };
    (0..bytes).map(letter).collect()
}

/// Runs `count` acts, not too many of them at once.
async fn many<F>(count: usize, act: impl Fn(usize) -> F) -> Result<(), Anything>
where
    F: Future<Output = agnes_store::Result<()>> + Send + 'static,
{
    let mut acts = JoinSet::new();
    for number in 0..count {
        acts.spawn(act(number));
        if acts.len() >= UNDER_WAY
            && let Some(done) = acts.join_next().await
        {
            done??;
        }
    }
    while let Some(done) = acts.join_next().await {
        done??;
    }
    Ok(())
}
