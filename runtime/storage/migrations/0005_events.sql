-- What modules have published, in the order in which it was committed. Events stay when their module goes, so there is
-- no reference; the number of a module never comes back. Offsets are never used twice.
CREATE TABLE events (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    module   INTEGER NOT NULL,
    name     TEXT NOT NULL,
    topic    TEXT NOT NULL,
    key      TEXT NOT NULL,
    call     TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    payload  BLOB NOT NULL
) STRICT;

-- Counted as it changes, as key-value data is. An event without anything in it takes a row all the same.
ALTER TABLE modules ADD COLUMN event_bytes INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER events_inserted AFTER INSERT ON events BEGIN
    UPDATE modules SET event_bytes = event_bytes + 128 + length(CAST(new.topic AS BLOB)) + length(CAST(new.key AS BLOB))
        + length(new.payload) WHERE id = new.module;
END;

CREATE TRIGGER events_deleted AFTER DELETE ON events BEGIN
    UPDATE modules SET event_bytes = event_bytes - 128 - length(CAST(old.topic AS BLOB)) - length(CAST(old.key AS BLOB))
        - length(old.payload) WHERE id = old.module;
END;
