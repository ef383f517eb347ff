-- Who may call: people and the scheduler, groups, roles, what they sign in with.
-- Unique keys and references are checked in memory by the one writer; the constraints here are the second witness.
CREATE TABLE users (
    id            VARCHAR PRIMARY KEY,
    email         VARCHAR NOT NULL UNIQUE,      -- lower case, trimmed, NFC
    name          VARCHAR NOT NULL,
    kind          VARCHAR NOT NULL,             -- person, system
    password_hash VARCHAR,                      -- PHC string; NULL: no sign-in by password
    disabled      BOOLEAN NOT NULL,
    epoch         BIGINT NOT NULL,              -- an access token of an older epoch is refused
    created_at    TIMESTAMP NOT NULL
);
CREATE TABLE groups (
    id          VARCHAR PRIMARY KEY,
    name        VARCHAR NOT NULL UNIQUE,
    external_id VARCHAR,                        -- the outside directory's id, where it stands for one of its groups
    built_in    BOOLEAN NOT NULL,
    disabled    BOOLEAN NOT NULL,
    created_at  TIMESTAMP NOT NULL
);
CREATE TABLE group_members (
    group_id VARCHAR NOT NULL,
    user_id  VARCHAR NOT NULL,
    added_at TIMESTAMP NOT NULL
);
CREATE TABLE roles (
    name          VARCHAR PRIMARY KEY,          -- lower_snake_case
    description   VARCHAR NOT NULL,
    registered_by VARCHAR NOT NULL,             -- code, api
    disabled      BOOLEAN NOT NULL,
    created_at    TIMESTAMP NOT NULL
);
CREATE TABLE group_mappings (
    id          VARCHAR PRIMARY KEY,
    external_id VARCHAR NOT NULL,
    role        VARCHAR NOT NULL,
    disabled    BOOLEAN NOT NULL,
    created_at  TIMESTAMP NOT NULL
);
CREATE TABLE sessions (
    id           VARCHAR PRIMARY KEY,           -- one family of refresh tokens
    user_id      VARCHAR NOT NULL,
    method       VARCHAR NOT NULL,              -- password, link, oidc
    refresh_hash VARCHAR NOT NULL,              -- SHA-256 of the one refresh token that is valid now
    created_at   TIMESTAMP NOT NULL,
    refreshed_at TIMESTAMP NOT NULL,
    expires_at   TIMESTAMP NOT NULL
);
CREATE TABLE tokens (
    id           VARCHAR PRIMARY KEY,
    user_id      VARCHAR NOT NULL,
    name         VARCHAR NOT NULL,
    hash         VARCHAR NOT NULL,              -- SHA-256 of the token
    scopes       VARCHAR NOT NULL,              -- comma separated; empty: all that the owner may do
    created_at   TIMESTAMP NOT NULL,
    expires_at   TIMESTAMP NOT NULL,
    revoked_at   TIMESTAMP,
    last_used_at TIMESTAMP,
    last_used_ip VARCHAR
);
CREATE TABLE sign_in_links (
    id         VARCHAR PRIMARY KEY,
    user_id    VARCHAR NOT NULL,
    hash       VARCHAR NOT NULL,                -- SHA-256 of the link's secret
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);
