-- Data of modules. An ordinary rowid table, because values reach megabytes and WITHOUT ROWID suits small rows.
CREATE TABLE kv (
    module INTEGER NOT NULL REFERENCES modules (id) ON DELETE CASCADE,
    bucket TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (module, bucket, key)
) STRICT;

-- Counted as it changes, because a quota is asked for at every write and summing up would make each write cost as
-- much as the module has keys. `CAST` because the length of text is in characters, and stops at a NUL.
ALTER TABLE modules ADD COLUMN kv_bytes INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER kv_inserted AFTER INSERT ON kv BEGIN
    UPDATE modules SET kv_bytes = kv_bytes + length(CAST(new.key AS BLOB)) + length(new.value) WHERE id = new.module;
END;

CREATE TRIGGER kv_updated AFTER UPDATE OF value ON kv BEGIN
    UPDATE modules SET kv_bytes = kv_bytes + length(new.value) - length(old.value) WHERE id = new.module;
END;

CREATE TRIGGER kv_deleted AFTER DELETE ON kv BEGIN
    UPDATE modules SET kv_bytes = kv_bytes - length(CAST(old.key AS BLOB)) - length(old.value) WHERE id = old.module;
END;
