-- What units of work need. A unit takes the write lock with a statement on `unit`, which changes nothing; it is the
-- smallest table there can be, so that this costs the same however many modules there are.
CREATE TABLE unit (
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;

INSERT INTO unit (id) VALUES (1);

-- Bytes of the pages that a module's tables and indices take, counted where its statements run.
ALTER TABLE modules ADD COLUMN sql_bytes INTEGER NOT NULL DEFAULT 0;

-- Migrations of modules that were applied. They end with their module, as its tables do.
CREATE TABLE module_migrations (
    module   INTEGER NOT NULL REFERENCES modules (id) ON DELETE CASCADE,
    version  INTEGER NOT NULL,
    name     TEXT NOT NULL,
    checksum TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (module, version)
) STRICT;
