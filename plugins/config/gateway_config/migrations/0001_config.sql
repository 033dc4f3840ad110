-- What a node should run. `document` is the exact text as it is sent, with its node_secret: it is
-- never shown. state: queued | sent | received | applied | verified | rejected | rolled_back |
-- expired (PROTOCOL B6).
CREATE TABLE config_desired (
    node_id  INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    sha256   TEXT    NOT NULL,
    document TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    sends    INTEGER NOT NULL DEFAULT 0,
    step     INTEGER NOT NULL DEFAULT 0,    -- sends since the node was last heard: the back-off
    sent_at  REAL    NOT NULL DEFAULT 0,    -- wall clock, seconds
    next_at  REAL,                          -- wall clock; NULL when nothing is planned
    via_gh   TEXT    NOT NULL DEFAULT '',   -- foreign nodes: where it was published
    via_zone TEXT    NOT NULL DEFAULT '',
    carried  INTEGER NOT NULL DEFAULT 0     -- 1: an earlier revision took the same new secret out
);
CREATE INDEX config_desired_due ON config_desired (next_at) WHERE next_at IS NOT NULL;

-- Every revision there was. `document` is without its node_secret, so that an old key is forgotten
-- with the revision that carried it; Wi-Fi and broker passwords are in it, for rollback.
CREATE TABLE config_revisions (
    node_id     INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    sha256      TEXT    NOT NULL,
    document    TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    author      TEXT    NOT NULL DEFAULT '',
    note        TEXT    NOT NULL DEFAULT '',
    reason      TEXT    NOT NULL DEFAULT '',
    path        TEXT    NOT NULL DEFAULT '',
    differs     TEXT    NOT NULL DEFAULT '[]',  -- JSON list of paths (foreign nodes)
    queued_at   REAL    NOT NULL,
    sent_at     REAL,
    received_at REAL,
    applied_at  REAL,
    verified_at REAL,
    final_at    REAL,                           -- rejected, rolled back, expired or superseded
    PRIMARY KEY (node_id, revision)
) WITHOUT ROWID;

-- What a node showed last. `name` is its hardware_id, else the name it used: what came before the
-- node was registered stands under a number of its own, and numbers may be given out again.
CREATE TABLE config_reported (
    node_id      INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL,
    revision     INTEGER NOT NULL DEFAULT 0,
    sha256       TEXT    NOT NULL DEFAULT '',
    state        TEXT    NOT NULL DEFAULT '',
    top          INTEGER NOT NULL DEFAULT 0,    -- the highest revision it ever showed
    boot_id      TEXT    NOT NULL DEFAULT '',
    hello_seq    INTEGER NOT NULL DEFAULT 0,
    report_seq   INTEGER NOT NULL DEFAULT 0,
    boots        TEXT    NOT NULL DEFAULT '',   -- earlier boot ids, blanks between
    proof        TEXT    NOT NULL DEFAULT '',   -- the key of its last good signature: secret | trial
    at           REAL    NOT NULL DEFAULT 0,
    document     TEXT    NOT NULL DEFAULT '',   -- redacted; '' until a full report came
    refused      INTEGER NOT NULL DEFAULT 0,    -- messages that were not believed
    refused_word TEXT    NOT NULL DEFAULT '',
    refused_at   REAL
);
CREATE INDEX config_reported_name ON config_reported (name);

-- The channels of a node, from its reports (A6.3).
CREATE TABLE config_channels (
    node_id INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    type    TEXT    NOT NULL DEFAULT '',
    metric  TEXT    NOT NULL DEFAULT '',    -- or the actuator_type
    unit    TEXT    NOT NULL DEFAULT '',
    config  TEXT    NOT NULL DEFAULT '{}',
    active  INTEGER NOT NULL DEFAULT 1,
    seen_at REAL    NOT NULL,
    PRIMARY KEY (node_id, name)
) WITHOUT ROWID;
