-- What the operator and the uploaders have decided. Kept relational where SQLite can guard it (names, digests,
-- who belongs to whom) and as JSON where only the station reads it (limits, worlds).

-- AUTOINCREMENT: the number of a removed module never comes back, so data can never pass to a later module.
CREATE TABLE modules (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    name      TEXT NOT NULL UNIQUE,
    active    TEXT,
    limits    TEXT NOT NULL DEFAULT '{}',
    instances TEXT NOT NULL DEFAULT '{}',
    config    TEXT NOT NULL DEFAULT '{}',
    routes    TEXT NOT NULL DEFAULT '[]',
    FOREIGN KEY (id, active) REFERENCES revisions (module, digest)
) STRICT;

-- The same digest may belong to several modules; the artifact is stored once.
CREATE TABLE revisions (
    module      INTEGER NOT NULL REFERENCES modules (id) ON DELETE CASCADE,
    digest      TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    uploaded_ms INTEGER NOT NULL,
    world       TEXT NOT NULL,
    metadata    TEXT NOT NULL,
    PRIMARY KEY (module, digest),
    UNIQUE (module, seq)
) STRICT;

CREATE TABLE grants (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    module INTEGER NOT NULL REFERENCES modules (id) ON DELETE CASCADE,
    "grant" TEXT NOT NULL,
    UNIQUE (module, "grant")
) STRICT;

-- `provider` is a name and not a reference: a pinned link outlives its provider, so that nobody else slips in.
CREATE TABLE links (
    module    INTEGER NOT NULL REFERENCES modules (id) ON DELETE CASCADE,
    interface TEXT NOT NULL,
    provider  TEXT NOT NULL,
    PRIMARY KEY (module, interface)
) STRICT;

CREATE TABLE tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    label      TEXT NOT NULL,
    hash       TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms     INTEGER NOT NULL,
    principal TEXT NOT NULL,
    action    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;
