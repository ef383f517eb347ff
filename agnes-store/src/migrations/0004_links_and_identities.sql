-- Links that do more than sign in, and who somebody is in an outside directory.
CREATE TABLE links (
    id         VARCHAR PRIMARY KEY,
    user_id    VARCHAR NOT NULL,
    purpose    VARCHAR NOT NULL,                -- sign_in, reset
    hash       VARCHAR NOT NULL,                -- SHA-256 of the link's secret
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);
INSERT INTO links SELECT id, user_id, 'sign_in', hash, created_at, expires_at FROM sign_in_links;
DROP TABLE sign_in_links;
CREATE TABLE identities (
    issuer    VARCHAR NOT NULL,                 -- of the OpenID provider
    subject   VARCHAR NOT NULL,                 -- its own name for somebody, never given to another
    user_id   VARCHAR NOT NULL,
    linked_at TIMESTAMP NOT NULL
);
-- People for whom a link was a way in: from then on they count among those who can sign in.
CREATE TABLE link_users (
    user_id  VARCHAR NOT NULL,
    first_at TIMESTAMP NOT NULL
);
