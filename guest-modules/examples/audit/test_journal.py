"""Run with `python3 -m unittest` in this folder; no package is needed. The database is Python's own SQLite."""

import sqlite3
import unittest
from hashlib import sha256

import journal
import steps
from chain import GENESIS, Entry, Line


class Memory:
    """A database with the journal's table."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:")
        for _, _, sql in steps.STEPS:
            self.connection.executescript(sql)

    def query(self, sql, params):
        return self.connection.execute(sql, params).fetchall()

    def execute(self, sql, params):
        self.connection.execute(sql, params)

    def forge(self, sql):
        """What somebody does who has the file of the database, and no trigger in the way."""
        self.connection.executescript(f"DROP TRIGGER lines_stay; DROP TRIGGER lines_remain; {sql}")


def entry(subject):
    return Entry("anna", "dossier.open", subject, "")


def filled(count):
    db = Memory()
    for number in range(1, count + 1):
        journal.append(db, entry(str(number)), number)
    return db


class Journal(unittest.TestCase):
    def assert_tampered(self, seq, function, *args):
        with self.assertRaises(journal.Tampered) as found:
            function(*args)
        self.assertEqual(found.exception.seq, seq)

    def test_a_hash_is_over_the_numbers_and_the_texts_with_their_lengths(self):
        line = Line.following(0, GENESIS, Entry("é", "b", "c", ""), 258)
        numbers = bytes(7) + b"\1" + bytes(6) + b"\1\2"
        texts = b"".join(bytes(7) + bytes([len(text)]) + text for text in ("é".encode(), b"b", b"c", b"", b"0" * 64))
        self.assertEqual(line.hash, sha256(numbers + texts).hexdigest())

    def test_an_empty_journal_verifies(self):
        self.assertEqual(journal.verify(filled(0)), 0)

    def test_lines_are_chained(self):
        db = filled(3)
        lines, following = journal.page(db, 0, 10)
        self.assertIsNone(following)
        self.assertEqual(lines[0].previous, GENESIS)
        self.assertEqual(lines[2].previous, lines[1].hash)
        for count in (3, 100, 201):
            self.assertEqual(journal.verify(filled(count)), count)

    def test_pages_follow_one_another(self):
        db = filled(5)
        first, following = journal.page(db, 0, 2)
        self.assertEqual((len(first), following), (2, 2))
        last, following = journal.page(db, 4, 2)
        self.assertEqual(([line.seq for line in last], following), ([5], None))
        for beyond in (99, 2**64 - 1):
            self.assertEqual(journal.page(db, beyond, 2), ([], None))

    def test_a_limit_is_cut(self):
        db = filled(101)
        self.assertEqual(len(journal.page(db, 0, 0)[0]), 1)
        lines, following = journal.page(db, 0, 2**32 - 1)
        self.assertEqual((len(lines), following), (100, 100))

    def test_a_changed_line_is_found(self):
        db = filled(3)
        db.forge("UPDATE lines SET actor = 'mallory' WHERE seq = 2")
        self.assert_tampered(2, journal.verify, db)

    def test_a_rewritten_line_breaks_the_next(self):
        db = filled(3)
        first = journal.page(db, 0, 1)[0][0]
        forged = Line.following(1, first.hash, entry("forged"), 2)
        db.forge(f"UPDATE lines SET subject = 'forged', hash = '{forged.hash}' WHERE seq = 2")
        self.assert_tampered(3, journal.verify, db)

    def test_a_removed_line_is_found(self):
        db = filled(3)
        db.forge("DELETE FROM lines WHERE seq = 2")
        self.assert_tampered(2, journal.verify, db)
        self.assert_tampered(2, journal.page, db, 0, 10)

    def test_the_table_only_grows(self):
        db = filled(2)
        for sql in ("UPDATE lines SET actor = 'mallory'", "DELETE FROM lines"):
            with self.assertRaises(sqlite3.IntegrityError):
                db.execute(sql, [])
        self.assertEqual(journal.verify(db), 2)

    def test_entries_must_say_who_and_what(self):
        db = filled(0)
        essay = Entry("anna", "dossier.open", "x", "é" * 2049)
        for bad, why in [(Entry(" ", "b", "c", ""), "actor is empty"), (essay, "detail is longer than 4096 bytes")]:
            with self.assertRaisesRegex(journal.Invalid, why):
                journal.append(db, bad, 1)
        self.assertEqual(journal.verify(db), 0)


if __name__ == "__main__":
    unittest.main()
