"""An append-only journal in which nobody can change what was written unnoticed.

Every line carries a hash over itself and the line before, so the last hash vouches for the whole journal. What keeps
lines safe from being *removed at the end* is the receipt, which the caller has.

The lines are rows of a table, written in the caller's unit of work: a call that fails leaves no line behind, and an
entry without what it tells of cannot be.
"""

import time
from collections.abc import Sequence

import chain
import journal
import steps
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.journal import Entry, Error_Invalid, Error_Storage, Error_Tampered, Excerpt, Line, Receipt
from wit_world.exports.migrations import Migration
from wit_world.imports import database
from wit_world.imports.station_sql_types import Value_Integer, Value_Text


class Migrations(exports.Migrations):
    def list_migrations(self) -> list[Migration]:
        return [Migration(*step) for step in steps.STEPS]


class Journal(exports.Journal):
    def append(self, entry: Entry) -> Receipt:
        told = chain.Entry(entry.actor, entry.action, entry.subject, entry.detail)
        try:
            line = journal.append(Tables, told, time.time_ns() // 1_000_000)
        except journal.Invalid as mistake:
            raise Err(Error_Invalid(str(mistake))) from mistake
        return Receipt(line.seq, line.hash)

    def page(self, after: int, limit: int) -> Excerpt:
        try:
            lines, following = journal.page(Tables, after, limit)
        except journal.Tampered as found:
            raise Err(Error_Tampered(found.seq)) from found
        return Excerpt([shown(line) for line in lines], following)

    def verify(self) -> int:
        try:
            return journal.verify(Tables)
        except journal.Tampered as found:
            raise Err(Error_Tampered(found.seq)) from found


class Tables:
    """The module's own tables, as the journal wants a database to be."""

    @staticmethod
    def query(sql: str, params: Sequence[int | str]) -> list[tuple]:
        rows = []
        with attempt(lambda: database.query(sql, values(params))) as found:
            while page := found.next(1000):
                rows += [tuple(value.value for value in row.values) for row in page]
        return rows

    @staticmethod
    def execute(sql: str, params: Sequence[int | str]) -> None:
        attempt(lambda: database.execute(sql, values(params)))


def values(params: Sequence[int | str]) -> list[database.Value]:
    return [Value_Integer(param) if isinstance(param, int) else Value_Text(param) for param in params]


def attempt(call):
    """What a call of the database gives; its error as one of ours."""
    try:
        return call()
    except Err as error:
        raise Err(Error_Storage(str(error.value))) from error


def shown(line: chain.Line) -> Line:
    told = line.entry
    entry = Entry(told.actor, told.action, told.subject, told.detail)
    return Line(line.seq, line.at, entry, line.previous, line.hash)
