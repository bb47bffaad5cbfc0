"""`manifest.json`: what a run is, by hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional

from . import _documents as documents
from ._errors import DamagedError
from ._files import Folder

NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """The fields of `manifest.json` that tables and scripts want; all of them, as they are written, in `raw`.

    >>> manifest = Run("runs/tiny").manifest
    >>> manifest.name, manifest.steps, manifest.finished, manifest.engine
    ('tiny', 12, True, 'compiled')
    >>> manifest.raw["data"]["classes"]
    8
    """

    #: Name of the experiment.
    name: str
    #: SHA-256 of `experiment.ron`.
    identity: str
    #: Of a finished run those that were done, of another those that are planned.
    steps: int
    steps_per_epoch: int
    engine: str
    #: What the experiment asks for, and what the engine computed in.
    declared_precision: str
    computed_precision: str
    #: Whether the data were held against pins.
    pinned: bool
    #: Clips for training and for validation.
    train: int
    validation: int
    #: Training videos that were left out of at least one step because they are damaged.
    left_out: int
    #: Why training ended before its last epoch, where it did.
    stopped_early: Optional[str]
    #: Whether training and evaluation are complete.
    finished: bool
    #: SHA-256 of every file that holds a result; of a run that is not finished, of those that it began with.
    files: Dict[str, str] = field(repr=False)
    #: The whole document.
    raw: Dict[str, object] = field(repr=False)


def read(folder: Folder) -> Manifest:
    fields = documents.sealed(folder, NAME)
    if (found := fields.whole("format")) != FORMAT:
        raise DamagedError(f"{fields.where} is of another format\n  expected {FORMAT}\n  found    {found}")
    data, precision = fields.fields("data"), fields.fields("precision")
    stopped = fields.optional_fields("stopped_early")
    return Manifest(
        name=fields.text("name"),
        identity=fields.text("identity"),
        steps=fields.whole("steps"),
        steps_per_epoch=fields.whole("steps_per_epoch"),
        engine=fields.text("engine"),
        declared_precision=precision.text("declared"),
        computed_precision=precision.text("computed"),
        pinned=isinstance(data.raw.get("pins"), dict),
        train=data.whole("train"),
        validation=data.whole("validation"),
        left_out=fields.whole("left_out", 0),
        stopped_early=None if stopped is None else stopped.text("reason"),
        finished=fields.flag("finished"),
        files=fields.hashes("files"),
        raw=fields.raw,
    )
