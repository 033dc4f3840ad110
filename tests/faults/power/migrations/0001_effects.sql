-- what a plugin of the power-cut tests keeps: one row for each event that it has handled
CREATE TABLE power_effects (
    journal_id INTEGER PRIMARY KEY,
    outbox_id  INTEGER NOT NULL,
    hardware   TEXT    NOT NULL
);
