-- Case files are numbered in order and never deleted; the id that people see is made of the number.
CREATE TABLE dossiers (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    title TEXT NOT NULL CHECK (title <> ''),
    client TEXT NOT NULL CHECK (client <> ''),
    kind TEXT NOT NULL CHECK (kind <> ''),
    deadline TEXT CHECK (deadline IS NULL OR length(deadline) = 10),
    opened TEXT NOT NULL CHECK (length(opened) = 10),
    closed TEXT CHECK (closed IS NULL OR length(closed) = 10)
) STRICT;

CREATE TABLE labels (
    dossier INTEGER NOT NULL REFERENCES dossiers (number),
    label TEXT NOT NULL CHECK (label <> ''),
    PRIMARY KEY (dossier, label)
) STRICT;
