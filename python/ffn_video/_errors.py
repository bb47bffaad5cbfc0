"""What can go wrong, told to the person who can mend it."""

from __future__ import annotations

import importlib
from typing import Any, Optional

_LONGEST = 200


class Error(Exception):
    """Whatever this package raises of its own. `hint` says what to do, where that is known."""

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message if hint is None else f"{message}\n\nhint: {hint}")


class NotFoundError(Error):
    """What is asked for is not there: no run folder, or a result that the run does not have (yet)."""


class DamagedError(Error):
    """A file is not as `ffn` wrote it."""


class MissingPackageError(Error, ImportError):
    """A method needs a package that is not installed."""


def shown(value: object) -> str:
    """A text from outside for a message: what cannot be printed is escaped, what is long is cut."""
    text = str(value)
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: _LONGEST + 1])
    return plain if len(plain) <= _LONGEST else plain[:_LONGEST] + "…"


def damaged(path: object, what: str) -> DamagedError:
    return DamagedError(f"`{shown(path)}` is damaged: {what}")


def hash_mismatch(path: object, expected: str, computed: str) -> DamagedError:
    return DamagedError(f"hash mismatch for `{shown(path)}`\n  expected {shown(expected)}\n  computed {computed}")


def package(name: str, needed_by: str) -> Any:
    """Imports a package, or says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        first = name.partition(".")[0]
        raise MissingPackageError(f"{needed_by} needs {first}: {error}", f"pip install {first}") from error
