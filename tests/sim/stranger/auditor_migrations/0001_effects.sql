CREATE TABLE auditor_effects (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    journal_id INTEGER NOT NULL,
    lane       TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    boot_id    TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    first_seq  INTEGER NOT NULL,
    retained   INTEGER NOT NULL
);
