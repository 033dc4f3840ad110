-- Liveness. Times named *_observed are the observed clock, which stands still while nothing is heard.
CREATE TABLE heartbeat_nodes (
    node_id        INTEGER PRIMARY KEY,
    life           TEXT    NOT NULL,
    boot_id        TEXT    NOT NULL DEFAULT '',
    boots          TEXT    NOT NULL DEFAULT '',   -- earlier boot ids, blanks between, newest first
    seq            INTEGER NOT NULL DEFAULT 0,    -- of the last beat in this boot
    proof_observed REAL    NOT NULL DEFAULT 0,    -- the last proof of life
    wait           REAL,                          -- seconds from it to the next transition; NULL: none
    declared       REAL,                          -- the node's own interval, seconds
    learnt         REAL,                          -- ours, from its beats
    beats          INTEGER NOT NULL DEFAULT 0,    -- in this boot
    missed         INTEGER NOT NULL DEFAULT 0,
    uptime         REAL,
    free_heap      INTEGER,
    min_free_heap  INTEGER,
    rssi           INTEGER,
    lost           INTEGER,
    since          REAL    NOT NULL DEFAULT 0     -- wall clock of the last transition
);
CREATE INDEX heartbeat_due ON heartbeat_nodes (proof_observed + wait) WHERE wait IS NOT NULL;
