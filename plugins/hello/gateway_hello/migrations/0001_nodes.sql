-- What hello knows of a node beyond the registry. admission: accepted | pending | rejected.
CREATE TABLE hello_nodes (
    node_id   INTEGER PRIMARY KEY,
    admission TEXT    NOT NULL,
    boot_id   TEXT    NOT NULL DEFAULT '',
    boots     TEXT    NOT NULL DEFAULT '',      -- earlier boot ids, blanks between, newest first
    suspects  INTEGER NOT NULL DEFAULT 0,       -- hellos that did not prove whose they are
    suspect_at REAL,
    at        REAL    NOT NULL
);
