"""Recomputes every hash of a run folder, as `ffn verify` does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple, TypeVar

from . import _checkpoint, _documents, _history, _manifest, _metrics
from ._errors import Error, damaged, hash_mismatch
from ._files import Folder

T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    >>> report = Run("runs/tiny").verify()
    >>> report.is_intact, report.checked > 20
    (True, True)
    """

    #: Files and documents that were checked.
    checked: int
    #: What is not as it was written.
    problems: Tuple[str, ...]
    #: Files that no hash covers, by their path in the folder.
    unlisted: Tuple[str, ...]

    @property
    def is_intact(self) -> bool:
        return not self.problems


class Checks:
    """Counts checks, and keeps what they say."""

    def __init__(self) -> None:
        self.checked = 0
        self.problems: List[str] = []

    def note(self, check: Callable[..., T], *arguments: object) -> Optional[T]:
        """Counts a check, and gives its value where it passes."""
        self.checked += 1
        try:
            return check(*arguments)
        except Error as error:
            self.problems.append(error.message)
            return None

    def files(self, folder: Folder, hashes: Dict[str, str]) -> None:
        for name, expected in hashes.items():
            self.note(folder.check, name, expected)

    def report(self, unlisted: List[str]) -> Report:
        return Report(self.checked, tuple(self.problems), tuple(unlisted))


def verify(folder: Folder) -> Report:
    checks = Checks()
    manifest = checks.note(_manifest.read, folder)
    history = checks.note(_history.read, folder)
    if history is not None:
        checks.files(folder, history[1])
    for name in _analyses(folder):
        checks.note(_documents.sealed, folder, name)
    if manifest is None:
        return checks.report([])
    checks.note(folder.check, "experiment.ron", manifest.identity)
    checks.files(folder, manifest.files)
    checks.note(_check_checkpoints, folder, manifest.identity)
    checks.note(_check_steps, folder, manifest)
    return checks.report(_unlisted(folder, manifest) if manifest.finished else [])


def _check_checkpoints(folder: Folder, identity: str) -> None:
    """Seals, inner hashes, and that the metrics begin with what each checkpoint remembers of them."""
    for checkpoint in _checkpoint.find(folder, identity):
        checkpoint.check()
        if checkpoint.kind != "step":
            continue
        mark = _documents.Fields(checkpoint.raw, repr(checkpoint)).fields("metrics")
        content = folder.read(_metrics.METRICS)[: mark.whole("bytes")]
        computed = hashlib.sha256(content).hexdigest()
        if computed != mark.text("sha256"):
            raise hash_mismatch(folder.path / _metrics.METRICS, mark.text("sha256"), computed)


def _check_steps(folder: Folder, manifest: _manifest.Manifest) -> None:
    steps = _metrics.steps(folder, manifest.finished)
    if manifest.finished and steps != manifest.steps:
        what = f"it has another number of steps\n  expected {manifest.steps}\n  found    {steps}"
        raise damaged(folder.path / _metrics.METRICS, what)


def _analyses(folder: Folder) -> List[str]:
    return [f"analysis/{name}" for name in folder.files("analysis") if name.endswith(".json")]


def _unlisted(folder: Folder, manifest: _manifest.Manifest) -> List[str]:
    records = {_manifest.NAME, _history.NAME, _metrics.TIMING, "log.txt", "lock"}
    known = {*manifest.files, *_analyses(folder), *records}
    return [name for name in folder.all_files() if name not in known]
