-- What runs by itself, and what administrators set while the server runs.
CREATE TABLE jobs (
    name                 VARCHAR PRIMARY KEY,
    last_started_at      TIMESTAMP,
    last_finished_at     TIMESTAMP,
    last_outcome         VARCHAR,               -- success, failure, timeout, interrupted
    last_error           VARCHAR,
    last_took_ms         BIGINT,
    consecutive_failures BIGINT NOT NULL
);
CREATE TABLE settings (
    key        VARCHAR PRIMARY KEY,
    value      VARCHAR NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    updated_by VARCHAR NOT NULL
);
