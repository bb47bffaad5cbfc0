"""Files of one JSON object a line, which a process may be writing to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

from . import _documents as documents
from ._errors import DamagedError, damaged
from ._files import Folder


@dataclass(frozen=True)
class Line:
    #: From 0.
    index: int
    fields: documents.Fields


class Lines:
    """The lines of a file, as it was when it was read."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = content

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    def whole(self) -> Iterator[Line]:
        """All lines; fails where the last has no end."""
        if self._content and not self._content.endswith(b"\n"):
            raise damaged(self._path, f"its last line, {len(self._ended()) + 1}, is cut off")
        return self.written()

    def written(self) -> Iterator[Line]:
        """The lines up to the last end of a line: a process may be writing the next one."""
        return (self._line(index, text) for index, text in enumerate(self._ended()))

    def readable(self) -> Iterator[Line]:
        """The lines that are JSON: a killed process left the others."""
        for index, text in enumerate(self._ended()):
            try:
                line = self._line(index, text)
            except DamagedError:
                continue
            yield line

    def _ended(self) -> List[bytes]:
        return self._content.split(b"\n")[:-1]

    def _line(self, index: int, text: bytes) -> Line:
        where = documents.place(self._path, index + 1)
        return Line(index, documents.Fields(documents.parse(text, where), where))


def lines(folder: Folder, name: str) -> Lines:
    return Lines(folder.path / name, folder.read(name))
