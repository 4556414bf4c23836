"""Deadlines of procedures.

`intake` asks for the deadline before it opens a case file; whoever wants to know how long is left asks `days-left`,
for which this module asks `dossiers`.
"""

import deadlines
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.calendar import Error_Failed, Error_Invalid, Error_Unavailable, Error_UnknownDossier
from wit_world.imports import files


class Calendar(exports.Calendar):
    def due(self, opened: str, kind: str) -> str:
        try:
            return deadlines.due(opened, kind)
        except ValueError as mistake:
            raise Err(Error_Invalid(str(mistake))) from mistake

    def days_left(self, dossier: str, today: str) -> int:
        deadline = find(dossier).deadline
        if deadline is None:
            raise Err(Error_Invalid(f"{dossier} has no deadline"))
        try:
            return deadlines.days_between(today, deadline)
        except ValueError as mistake:
            raise Err(Error_Invalid(str(mistake))) from mistake


def find(dossier: str) -> files.Dossier:
    """The case file; the error of `dossiers` as one of ours. A failed call stays one, so its code is not lost."""
    try:
        return files.get(dossier)
    except Err as error:
        if isinstance(error.value, files.Error_NotFound):
            raise Err(Error_UnknownDossier(dossier)) from error
        if isinstance(error.value, files.Error_Failed):
            raise Err(Error_Failed(error.value.value)) from error
        raise Err(Error_Unavailable(f"dossiers: {error.value}")) from error
