"""The journal over SQL, without anything of WIT in it, so that `python3 -m unittest` can run it.

A database is `query(sql, params)`, which answers with rows, and `execute(sql, params)`; both take and give Python's own
values.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from chain import GENESIS, Entry, Line

# Longest text of an entry, in bytes: a journal of essays cannot be paged through.
TEXT_BYTES_MAX = 4096
# Most lines of one page.
PAGE_MAX = 100
# The highest number that SQL has; those of WIT go twice as far.
SEQ_MAX = 2**63 - 1

COLUMNS = "seq, at, actor, action, subject, detail, previous, hash"


class Invalid(Exception):
    """The entry cannot be accepted, and why."""


class Tampered(Exception):
    """The line of this number, or one before it, is not what was written."""

    def __init__(self, seq: int):
        super().__init__(f"line {seq} is not what was written")
        self.seq = seq


class Database(Protocol):
    query: Callable[[str, Sequence[int | str]], list[tuple]]
    execute: Callable[[str, Sequence[int | str]], None]


def append(db: Database, entry: Entry, at: int) -> Line:
    """Adds an entry at the end and answers its line."""
    check(entry)
    last = db.query("SELECT seq, hash FROM lines ORDER BY seq DESC LIMIT 1", [])
    seq, previous = last[0] if last else (0, GENESIS)
    line = Line.following(seq, previous, entry, at)
    told = [entry.actor, entry.action, entry.subject, entry.detail]
    sql = f"INSERT INTO lines ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    db.execute(sql, [line.seq, line.at, *told, line.previous, line.hash])
    return line


def page(db: Database, after: int, limit: int) -> tuple[list[Line], int | None]:
    """Lines after a number, and where the next page begins."""
    limit = min(max(limit, 1), PAGE_MAX)
    # One more than asked for, to know whether there is a next page.
    found = lines_after(db, after, limit + 1)
    lines = found[:limit]
    for seq, line in enumerate(lines, after + 1):
        # Somebody removed the line that was there.
        if line.seq != seq:
            raise Tampered(seq)
    return lines, lines[-1].seq if len(found) > limit else None


def verify(db: Database) -> int:
    """Recomputes the whole chain and answers its length."""
    seq, previous = 0, GENESIS
    while lines := lines_after(db, seq, PAGE_MAX):
        for line in lines:
            if not line.follows(seq, previous):
                raise Tampered(seq + 1)
            seq, previous = line.seq, line.hash
    return seq


def lines_after(db: Database, seq: int, limit: int) -> list[Line]:
    """At most so many lines after a number, in order."""
    sql = f"SELECT {COLUMNS} FROM lines WHERE seq > ?1 ORDER BY seq LIMIT ?2"
    rows = db.query(sql, [min(seq, SEQ_MAX), limit])
    return [Line(seq, at, Entry(*told), previous, hash) for seq, at, *told, previous, hash in rows]


def check(entry: Entry) -> None:
    """Refuses an entry that does not say who and what, or too much."""
    named = {"actor": entry.actor, "action": entry.action, "subject": entry.subject}
    for field, text in named.items():
        if not text.strip():
            raise Invalid(f"{field} is empty")
    for field, text in {**named, "detail": entry.detail}.items():
        if len(text.encode()) > TEXT_BYTES_MAX:
            raise Invalid(f"{field} is longer than {TEXT_BYTES_MAX} bytes")
