"""Lines and their hashes."""

from dataclasses import dataclass, replace
from hashlib import sha256

# What stands where the first line's predecessor would be.
GENESIS = "0" * 64


@dataclass(frozen=True)
class Entry:
    """What happened."""

    actor: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True)
class Line:
    """An entry in its place."""

    seq: int
    at: int
    entry: Entry
    previous: str
    hash: str

    @staticmethod
    def following(seq: int, previous: str, entry: Entry, at: int) -> "Line":
        """The line that follows a line of that number and hash."""
        line = Line(seq + 1, at, entry, previous, "")
        return replace(line, hash=line.compute())

    def follows(self, seq: int, previous: str) -> bool:
        """Whether this line is intact and follows a line of that number and hash."""
        return self.seq == seq + 1 and self.previous == previous and self.hash == self.compute()

    def compute(self) -> str:
        """The hash over everything but itself. Each text goes in with its length, or `ab` + `c` would equal `a` + `bc`."""
        told = self.entry
        parts = [number(self.seq), number(self.at)]
        for text in (told.actor, told.action, told.subject, told.detail, self.previous):
            encoded = text.encode()
            parts += [number(len(encoded)), encoded]
        return sha256(b"".join(parts)).hexdigest()


def number(value: int) -> bytes:
    """Eight bytes, the highest first."""
    return value.to_bytes(8, "big")
