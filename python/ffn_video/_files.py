"""Files below a folder. Nothing outside it is read, whatever name a document gives."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, Iterator, List, Mapping, Optional, Union

from ._errors import DamagedError, Error, NotFoundError, damaged, hash_mismatch, shown

#: Bytes of a document and of a file of weights: the bounds of `ffn` itself.
DOCUMENT = 1 << 30
WEIGHTS = 8 << 30

PathLike = Union[str, "os.PathLike[str]"]


class Folder:
    """A folder, whose files are read by their names below it, with `/`. What is in `hashes` must have its SHA-256."""

    def __init__(self, path: PathLike, hashes: Optional[Mapping[str, str]] = None) -> None:
        self.path = Path(path)
        self._hashes = hashes or {}

    @property
    def name(self) -> str:
        """The folder's own name, also of `.`."""
        return self.path.name or self.path.resolve().name

    def below(self, name: str) -> Folder:
        return Folder(self._place(name))

    def has(self, name: str) -> bool:
        """Whether something of this name is there, whatever it is."""
        return os.path.lexists(self.path.joinpath(*self._parts(name)))

    def read(self, name: str, bound: int = DOCUMENT) -> bytes:
        if name in self._hashes and not self.has(name):
            raise damaged(self.path / name, "it is missing, and its hash is listed")
        with self._open(name) as file:
            content = file.read(bound + 1)
        if len(content) > bound:
            raise damaged(self.path / name, f"it has more than {bound} bytes")
        expected, computed = self._hashes.get(name), hashlib.sha256(content).hexdigest()
        if expected not in (None, computed):
            raise hash_mismatch(self.path / name, expected, computed)
        return content

    def sha256(self, name: str) -> str:
        hasher = hashlib.sha256()
        with self._open(name) as file:
            while part := file.read(1 << 20):
                hasher.update(part)
        return hasher.hexdigest()

    def check(self, name: str, expected: str) -> None:
        """Fails unless a file has this SHA-256."""
        computed = self.sha256(name)
        if computed != expected:
            raise hash_mismatch(self.path / name, expected, computed)

    def folders(self, name: str = "") -> List[str]:
        """Names of the folders in a folder, sorted; none where it is missing."""
        return sorted(entry.name for entry in self._entries(name) if entry.is_dir(follow_symlinks=False))

    def folders_and_links(self) -> List[str]:
        """Names of the folders in this one, and of links to folders anywhere, sorted."""
        return sorted(entry.name for entry in self._entries("") if os.path.isdir(entry.path))

    def files(self, name: str = "") -> List[str]:
        """Names of the files in a folder, sorted, with those whose hash is listed: one that is missing is not passed over."""
        prefix = f"{name}/" if name else ""
        listed = (path[len(prefix) :] for path in self._hashes if path.startswith(prefix))
        there = (entry.name for entry in self._entries(name) if not entry.is_dir(follow_symlinks=False))
        return sorted({*there, *(path for path in listed if "/" not in path)})

    def all_files(self) -> List[str]:
        """Every file in the folder and below it, sorted."""
        return sorted(self._walk(""))

    def _walk(self, name: str) -> Iterator[str]:
        prefix = f"{name}/" if name else ""
        yield from (prefix + file for file in self.files(name))
        for folder in self.folders(name):
            yield from self._walk(prefix + folder)

    def _entries(self, name: str) -> List[os.DirEntry[str]]:
        place = self._place(name) if name else self.path
        try:
            with os.scandir(place) as entries:
                return list(entries)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _refused(place, error) from error

    def _parts(self, name: str) -> List[str]:
        """Of a name from a document, which may be damaged or made to lead elsewhere."""
        parts = name.split("/")
        foreign = "\0" if os.name != "nt" else "\0\\:"
        if any(part in ("", ".", "..") or any(c in part for c in foreign) for part in parts):
            raise DamagedError(f"`{shown(name)}` is no name of a file in the folder `{shown(self.path)}`")
        return parts

    def _place(self, name: str) -> Path:
        """Where a file is; no link leads out of the folder."""
        place = self.path.joinpath(*self._parts(name))
        real = Path(os.path.realpath(place))
        if not real.is_relative_to(os.path.realpath(self.path)):
            raise DamagedError(f"`{shown(place)}` leads out of its folder, to `{shown(real)}`")
        return place

    def _open(self, name: str) -> BinaryIO:
        place = self._place(name)
        try:
            # Else a FIFO would wait for a writer.
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            file = os.fdopen(os.open(place, flags), "rb")
        except OSError as error:
            raise _refused(place, error) from error
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise DamagedError(f"`{shown(place)}` is no regular file")
        return file


def _refused(place: Path, error: OSError) -> Error:
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"`{shown(place)}` is missing")
    return Error(f"cannot read `{shown(place)}`: {error.strerror}")
