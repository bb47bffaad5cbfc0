"""`history.json`: the processes that worked on a run, and hashes of the records of how it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from . import _documents as documents
from ._files import Folder

NAME = "history.json"


@dataclass(frozen=True)
class Process:
    """One process that worked on a run.

    >>> [process.outcome for process in Run("runs/tiny").processes()]
    ['finished']
    """

    #: UTC, as RFC 3339; `ended` is None where the process was killed, or still works.
    started: str
    ended: Optional[str]
    #: `working`, `stopped`, `diverged`, `failed` or `finished`.
    outcome: str
    #: The first step that it computed, and the step after its last checkpoint.
    from_step: int
    to_step: int
    threads: int
    workers: int


def read(folder: Folder) -> Tuple[List[Process], Dict[str, str]]:
    """The processes, and SHA-256 by file once the run is finished; nothing for a run that has not begun."""
    if not folder.has(NAME):
        return [], {}
    fields = documents.sealed(folder, NAME)
    where = f"{fields.where}: `processes`"
    return [_process(documents.Fields(value, where)) for value in fields.list("processes")], fields.hashes("files")


def _process(fields: documents.Fields) -> Process:
    return Process(
        started=fields.text("started"),
        ended=fields.optional_text("ended"),
        outcome=fields.text("outcome"),
        from_step=fields.whole("from_step"),
        to_step=fields.whole("to_step"),
        threads=fields.whole("threads"),
        workers=fields.whole("workers"),
    )
