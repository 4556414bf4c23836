"""Run with `python3 -m unittest` in this folder; no package is needed."""

import unittest

import deadlines


class Deadlines(unittest.TestCase):
    def test_a_deadline_follows_from_the_kind(self):
        self.assertEqual(deadlines.due("2025-01-06", "objection"), "2025-01-20")
        self.assertEqual(deadlines.due("2025-01-06", " Objection "), "2025-01-20")

    def test_a_weekend_moves_it_to_monday(self):
        self.assertEqual(deadlines.due("2025-01-01", "injunction"), "2025-01-06")
        self.assertEqual(deadlines.due("2025-01-02", "injunction"), "2025-01-06")

    def test_mistakes_are_explained(self):
        for opened, kind in [("2025-02-30", "appeal"), ("20250101", "appeal"), ("", "appeal"), ("2025-01-01", "duel")]:
            with self.assertRaises(ValueError):
                deadlines.due(opened, kind)

    def test_days_left_can_be_negative(self):
        self.assertEqual(deadlines.days_between("2025-01-01", "2025-01-31"), 30)
        self.assertEqual(deadlines.days_between("2025-01-31", "2025-01-01"), -30)


if __name__ == "__main__":
    unittest.main()
