"""JSON documents: their seals, and their fields by name and type."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Dict, Iterator, List, NoReturn, Optional, Tuple, Union

from ._errors import DamagedError, damaged, shown
from ._files import Folder

_OPENING = b'{\n  "seal": "'
_DIGITS = 64
_WHOLE = 1 << 63


class Fields:
    """An object of a document. Each field is taken by its name and the type that it must have."""

    def __init__(self, value: object, where: str) -> None:
        self.where = where
        if not isinstance(value, dict):
            _refuse(where, "an object", value)
        self.raw: Dict[str, object] = value

    def whole(self, name: str, default: Optional[int] = None) -> int:
        return as_whole(self._get(name, default, "a whole number"), self._at(name))

    def number(self, name: str) -> float:
        return as_number(self._get(name, None, "a number"), self._at(name))

    def text(self, name: str) -> str:
        return as_text(self._get(name, None, "a text"), self._at(name))

    def flag(self, name: str) -> bool:
        value = self._get(name, None, "true or false")
        return value if isinstance(value, bool) else _refuse(self._at(name), "true or false", value)

    def fields(self, name: str) -> Fields:
        return Fields(self._get(name, None, "an object"), self._at(name))

    def list(self, name: str, default: Optional[List[object]] = None) -> List[object]:
        value = self._get(name, default, "a list")
        return value if isinstance(value, list) else _refuse(self._at(name), "a list", value)

    def optional_text(self, name: str) -> Optional[str]:
        return None if self.raw.get(name) is None else self.text(name)

    def optional_number(self, name: str) -> Optional[float]:
        return None if self.raw.get(name) is None else self.number(name)

    def optional_fields(self, name: str) -> Optional[Fields]:
        return None if self.raw.get(name) is None else self.fields(name)

    def hashes(self, name: str) -> Dict[str, str]:
        """SHA-256 by the name of a file."""
        fields = self.fields(name)
        return {key: fields.text(key) for key in fields.raw}

    def objects(self) -> Iterator[Tuple[str, Fields]]:
        """All fields, each of them an object."""
        return ((name, self.fields(name)) for name in self.raw)

    def _get(self, name: str, default: object, expected: str) -> object:
        if name in self.raw:
            return self.raw[name]
        if default is None:
            raise DamagedError(f"{self._at(name)} is missing\n  expected {expected}\n  found    nothing")
        return default

    def _at(self, name: str) -> str:
        return f"{self.where}: `{shown(name)}`"


def as_whole(value: object, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -_WHOLE <= value < _WHOLE:
        return value
    _refuse(where, "a whole number", value)


def as_number(value: object, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    _refuse(where, "a number", value)


def as_text(value: object, where: str) -> str:
    return value if isinstance(value, str) else _refuse(where, "a text", value)


def read(folder: Folder, name: str) -> Fields:
    """A document that is an object."""
    return Fields(value(folder, name), place(folder.path / name))


def sealed(folder: Folder, name: str) -> Fields:
    """A document with a seal; fails where a byte of it was changed."""
    path = folder.path / name
    content = folder.read(name)
    if not _is_intact(content):
        raise damaged(path, "its content does not have its seal")
    return Fields(parse(content, place(path)), place(path))


def value(folder: Folder, name: str) -> object:
    return parse(folder.read(name), place(folder.path / name))


def place(path: Union[str, Path], line: Optional[int] = None) -> str:
    """How a message begins."""
    return f"`{shown(path)}`" if line is None else f"`{shown(path)}` line {line}"


def parse(content: bytes, where: str) -> object:
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_no_number, parse_float=_finite)
        if b"\\u" in content:
            # Python takes halves of characters, which no other program does.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except RecursionError:
        what = "it is nested too deeply"
    except ValueError as error:
        what = shown(error)
    raise DamagedError(f"{where} is damaged: {what}")


def _is_intact(content: bytes) -> bool:
    end = len(_OPENING) + _DIGITS
    zeroed = _OPENING + b"0" * _DIGITS + content[end:]
    digest = hashlib.sha256(zeroed).hexdigest().encode()
    return content.startswith(_OPENING) and content[len(_OPENING) : end] == digest


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"expected a number, found {text}")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"expected a number of 64 bits, found {shown(text)}")
    return number


def _refuse(where: str, expected: str, found: object) -> NoReturn:
    text = type(found).__name__ if isinstance(found, (list, dict)) else shown(json.dumps(found, ensure_ascii=False))
    raise DamagedError(f"{where} is of another type\n  expected {expected}\n  found    {text}")
