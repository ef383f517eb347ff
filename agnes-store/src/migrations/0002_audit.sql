-- What was done, by whom, from where: append only, each row's hash over the row and the hash before it.
CREATE TABLE audit (
    seq         BIGINT NOT NULL,                -- 1, 2, 3, …: never a gap
    id          VARCHAR NOT NULL,
    occurred_at TIMESTAMP NOT NULL,
    actor       VARCHAR NOT NULL,               -- e-mail, or anonymous
    action      VARCHAR NOT NULL,
    resource    VARCHAR NOT NULL,
    outcome     VARCHAR NOT NULL,               -- success, failure, denied
    ip          VARCHAR NOT NULL,
    user_agent  VARCHAR NOT NULL,
    request_id  VARCHAR NOT NULL,
    count       BIGINT NOT NULL,                -- refusals of one address, kind and minute share a row
    metadata    VARCHAR NOT NULL,               -- JSON object
    hash        VARCHAR NOT NULL
);
-- The last row, in a second place: a tail that was cut off is missed.
CREATE TABLE audit_head (
    seq  BIGINT NOT NULL,
    hash VARCHAR NOT NULL
);
INSERT INTO audit_head VALUES (0, '');
-- Where expired rows ended: the chain is verified from the newest anchor on.
CREATE TABLE audit_anchors (
    through_seq BIGINT NOT NULL,
    hash        VARCHAR NOT NULL,               -- of row through_seq
    expired     BIGINT NOT NULL,                -- rows that were deleted for this anchor
    made_at     TIMESTAMP NOT NULL,
    public_key  VARCHAR NOT NULL,               -- Ed25519, hex
    signature   VARCHAR NOT NULL                -- hex
);
