"""How the journal's table comes to be.

The tools of Python write no sections into a component, so the station asks the function that `app.py` exports. A step
that has been run never changes; the next one is added below.
"""

V1_INIT = """
-- Who changes a line is found by its hash; these say before what a line is.
CREATE TABLE lines (
    seq INTEGER PRIMARY KEY CHECK (seq > 0),
    at INTEGER NOT NULL CHECK (at >= 0),
    actor TEXT NOT NULL CHECK (actor <> ''),
    action TEXT NOT NULL CHECK (action <> ''),
    subject TEXT NOT NULL CHECK (subject <> ''),
    detail TEXT NOT NULL,
    -- Unique, so that no two lines can follow the same one.
    previous TEXT NOT NULL UNIQUE CHECK (length(previous) = 64),
    hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64)
) STRICT;

-- For this module itself, too, the journal only grows.
CREATE TRIGGER lines_stay BEFORE UPDATE ON lines BEGIN SELECT RAISE(ABORT, 'a line does not change'); END;
CREATE TRIGGER lines_remain BEFORE DELETE ON lines BEGIN SELECT RAISE(ABORT, 'a line is not removed'); END;
"""

# Version, name, statements.
STEPS = [(1, "init", V1_INIT)]
