-- The core's tables, and no more (DESIGN, "The core's tables"). Plugins bring their own.

-- class: journal | latest | change | command.  state: 0 waiting, 1 done, 2 gathered (deliveries open)
CREATE TABLE journal (
    id        INTEGER PRIMARY KEY,
    at        REAL    NOT NULL,             -- wall clock at intake, seconds
    observed  REAL    NOT NULL,             -- observed clock at intake, seconds
    session   TEXT    NOT NULL,             -- control | bulk | host
    class     TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    lane      TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    payload   BLOB    NOT NULL,
    crc       INTEGER NOT NULL,             -- CRC32 of topic, NUL, payload (rule 20)
    flags     INTEGER NOT NULL DEFAULT 0,   -- 1 backlog, 2 retained, 4 replayed
    copies    INTEGER NOT NULL DEFAULT 1,   -- messages folded into this row
    first_seq INTEGER NOT NULL DEFAULT 0,
    dedupe    BLOB,                         -- digest of who, kind, boot_id, seq (rule 9)
    state     INTEGER NOT NULL DEFAULT 0,
    answer    TEXT                          -- a command's result, JSON
);
CREATE INDEX journal_waiting ON journal (lane, id) WHERE state = 0;
CREATE UNIQUE INDEX journal_dedupe ON journal (dedupe) WHERE dedupe IS NOT NULL;

-- only deliveries that failed or were late have a row (rule 1).  state: open | dead
CREATE TABLE delivery (
    journal_id INTEGER NOT NULL,
    plugin     TEXT    NOT NULL,
    lane       TEXT    NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'open',
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    REAL    NOT NULL DEFAULT 0,  -- wall clock
    error      TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (journal_id, plugin)
) WITHOUT ROWID;
CREATE INDEX delivery_open ON delivery (plugin, lane, journal_id) WHERE state = 'open';
CREATE INDEX delivery_dead ON delivery (journal_id) WHERE state = 'dead';

CREATE TABLE refused (
    id      INTEGER PRIMARY KEY,
    at      REAL NOT NULL,
    topic   TEXT NOT NULL,
    payload BLOB NOT NULL,                  -- the first 1,024 bytes
    word    TEXT NOT NULL,
    detail  TEXT NOT NULL
);

CREATE TABLE nodes (
    id                INTEGER PRIMARY KEY,
    uid               TEXT UNIQUE,
    hardware_id       TEXT UNIQUE,
    name              TEXT NOT NULL DEFAULT '',
    type              TEXT NOT NULL DEFAULT 'unknown',
    lifecycle_state   TEXT NOT NULL DEFAULT 'UNPROVISIONED',
    life              TEXT NOT NULL DEFAULT 'never_seen',
    gh                TEXT NOT NULL DEFAULT '',
    zone              TEXT NOT NULL DEFAULT '',
    pending_gh        TEXT NOT NULL DEFAULT '',
    pending_zone      TEXT NOT NULL DEFAULT '',
    pending_at        REAL,
    protocol          INTEGER NOT NULL DEFAULT 0,
    boot_id           TEXT,
    fw_version        TEXT,
    hardware_revision TEXT,
    secret            TEXT,
    trial_secret      TEXT,
    desired_revision  INTEGER NOT NULL DEFAULT 0,
    first_seen_at     REAL,
    last_seen_at      REAL,
    created_at        REAL NOT NULL,
    updated_at        REAL NOT NULL
);
CREATE TABLE node_names (
    name    TEXT PRIMARY KEY,               -- lower case
    node_id INTEGER NOT NULL
) WITHOUT ROWID;

-- state: 0 waiting, 1 sent but not acknowledged
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY,
    node_id     INTEGER NOT NULL,
    topic       TEXT    NOT NULL,
    body        BLOB    NOT NULL,
    options     TEXT    NOT NULL,           -- JSON: qos, retain, stamp, sign
    replace_key TEXT,
    expires_at  REAL,                       -- wall clock
    state       INTEGER NOT NULL DEFAULT 0,
    crc         INTEGER NOT NULL
);
CREATE INDEX outbox_replace ON outbox (replace_key) WHERE replace_key IS NOT NULL;

CREATE TABLE subscriptions (
    session TEXT NOT NULL,
    filter  TEXT NOT NULL,
    PRIMARY KEY (session, filter)
) WITHOUT ROWID;

CREATE TABLE plugins (
    name           TEXT PRIMARY KEY,
    schema_version INTEGER NOT NULL DEFAULT 0,
    hashes         TEXT NOT NULL DEFAULT '[]',  -- of the migrations applied, in order
    breaker        TEXT NOT NULL DEFAULT 'closed'
) WITHOUT ROWID;
