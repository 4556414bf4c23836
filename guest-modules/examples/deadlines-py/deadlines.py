"""What deadlines are, without anything of WIT in it, so that `python3 -m unittest` can run it."""

from datetime import date, timedelta

# Days until the first deadline, by kind of case.
DAYS = {"appeal": 30, "objection": 14, "injunction": 3, "claim": 90, "consultation": 21}

SATURDAY = 5


def parse_day(text: str) -> date:
    """A day written YYYY-MM-DD; a ValueError says what is wrong."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # `fromisoformat` accepts other spellings too; a day has one here.
    if day is None or day.isoformat() != text:
        raise ValueError(f"`{text}` is not a day written YYYY-MM-DD")
    return day


def due(opened: str, kind: str) -> str:
    """The first deadline of a case, never on a weekend."""
    days = DAYS.get(kind.strip().lower())
    if days is None:
        raise ValueError(f"`{kind}` is not a kind of case; known are {', '.join(sorted(DAYS))}")
    return next_workday(parse_day(opened) + timedelta(days=days)).isoformat()


def next_workday(day: date) -> date:
    """The day itself, or the Monday after the weekend it is in."""
    while day.weekday() >= SATURDAY:
        day += timedelta(days=1)
    return day


def days_between(today: str, deadline: str) -> int:
    """Days until a deadline; negative when it has passed."""
    return (parse_day(deadline) - parse_day(today)).days
