-- Boots of hellos and reports that should have been signed and were not, blanks between, newest first:
-- what a double of a board says is no life of the board.
ALTER TABLE heartbeat_nodes ADD COLUMN strange TEXT NOT NULL DEFAULT '';
