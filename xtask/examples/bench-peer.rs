//! What `cargo xtask bench http` measures the server beside: the least that axum can do, and PostgreSQL behind axum.
//!
//! Always true: `GET /` answers a constant; `POST /row` answers 201 after one durable commit of one row, `POST /act` after
//! one of a row and its audit row in a single statement; both on the connections of a pool of 32.
//!
//! Does not: authenticate, limit, log: what a server does beyond that is the server's cost.
//!
//! Called as `bench-peer <address> [<directory of PostgreSQL's socket>]`.

use std::env;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, Config, NoTls, Statement};

const CONNECTIONS: usize = 32;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS groups (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS audit (
    seq bigserial PRIMARY KEY, actor text NOT NULL, action text NOT NULL, resource text NOT NULL, outcome text NOT NULL,
    ip text NOT NULL, user_agent text NOT NULL, request_id text NOT NULL, metadata text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);";

const ROW: &str = "INSERT INTO groups (name) VALUES ($1) RETURNING id::text";

const ACT: &str = "
WITH made AS (INSERT INTO groups (name) VALUES ($1) RETURNING id),
     noted AS (INSERT INTO audit (actor, action, resource, outcome, ip, user_agent, request_id, metadata)
               SELECT 'admin@example.com', 'group.created', 'group:' || $1, 'success', '127.0.0.1', 'bench', id::text, '{}'
               FROM made)
SELECT id::text FROM made";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let address: SocketAddr = arguments
        .next()
        .context("no address")?
        .parse()
        .context("address")?;
    let mut router = Router::new().route("/", get(|| async { "hello" }));
    if let Some(socket) = arguments.next() {
        let pool = Arc::new(Pool::connect(&socket).await?);
        let routes = Router::new()
            .route("/row", post(row))
            .route("/act", post(act))
            .with_state(pool);
        router = router.merge(routes);
    }
    let listener = TcpListener::bind(address).await.context("bind")?;
    axum::serve(listener, router).await.context("serve")
}

/// One connection and its statements.
struct Connection {
    client: Client,
    row: Statement,
    act: Statement,
}

/// A fixed number of connections, each used by one request at a time.
struct Pool {
    connections: Vec<Connection>,
    free: Mutex<Vec<usize>>,
    permits: Semaphore,
}

/// A connection in use. It is free again also when its request is given up half-way, as those are that a client leaves.
struct Lease<'a> {
    pool: &'a Pool,
    number: usize,
    // last: whoever it lets in finds the connection free
    _permit: SemaphorePermit<'a>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool.free().push(self.number);
    }
}

impl Pool {
    async fn connect(socket: &str) -> Result<Self> {
        let mut connections = Vec::new();
        for number in 0..CONNECTIONS {
            let mut config = Config::new();
            config.host_path(socket).user("bench").dbname("postgres");
            let (client, connection) = config.connect(NoTls).await.context("PostgreSQL")?;
            tokio::spawn(connection);
            if number == 0 {
                client.batch_execute(TABLES).await.context("tables")?;
            }
            let (row, act) = (client.prepare(ROW).await?, client.prepare(ACT).await?);
            connections.push(Connection { client, row, act });
        }
        Ok(Self {
            free: Mutex::new((0..connections.len()).collect()),
            permits: Semaphore::new(connections.len()),
            connections,
        })
    }

    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lease(&self) -> Option<Lease<'_>> {
        let _permit = self.permits.acquire().await.ok()?;
        let number = self.free().pop()?;
        Some(Lease {
            pool: self,
            number,
            _permit,
        })
    }

    /// Commits one statement about `name`; the id that it made.
    async fn commit(
        &self,
        of: fn(&Connection) -> &Statement,
        name: &str,
    ) -> Result<String, StatusCode> {
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        let lease = self.lease().await.ok_or(failed)?;
        let connection = self.connections.get(lease.number).ok_or(failed)?;
        connection
            .client
            .query_one(of(connection), &[&name])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|_| failed)
    }
}

async fn row(
    pool: State<Arc<Pool>>,
    body: Json<Value>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    answer(pool, |connection| &connection.row, body).await
}

async fn act(
    pool: State<Arc<Pool>>,
    body: Json<Value>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    answer(pool, |connection| &connection.act, body).await
}

async fn answer(
    State(pool): State<Arc<Pool>>,
    of: fn(&Connection) -> &Statement,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let name = body
        .get("name")
        .and_then(Value::as_str)
        .ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
    let id = pool.commit(of, name).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "name": name }))))
}
