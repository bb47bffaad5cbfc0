"""`checkpoints/`: what a run goes on from, the best of its weights, and which of them its results are of."""

from __future__ import annotations

import hashlib
from typing import Dict, List, Optional

from . import _documents as documents
from ._errors import DamagedError, NotFoundError, hash_mismatch, shown
from ._files import WEIGHTS, Folder
from ._tensors import Tensors

CHECKPOINTS = "checkpoints"
STATE = {"step": "state.json", "best": "best.json"}
MODEL = "model.safetensors"
AVERAGE = "average.safetensors"


class Checkpoint:
    """One folder of `checkpoints/`: of a `step`, with the optimiser's state, or of the `best` weights.

    >>> checkpoint = Run("runs/tiny").checkpoints()[-1]
    >>> checkpoint.kind, checkpoint.step, checkpoint.epoch
    ('step', 12, 4)
    >>> sorted(checkpoint.files)
    ['model.safetensors', 'optimizer.safetensors']
    """

    def __init__(self, folder: Folder, identity: str) -> None:
        self._folder = folder
        #: `step` or `best`.
        self.kind = folder.name.partition("-")[0]
        fields = documents.sealed(folder, STATE[self.kind])
        #: Steps and epochs that are done.
        self.step = fields.whole("step")
        self.epoch = fields.whole("epoch")
        #: SHA-256 by the name of the file.
        self.files: Dict[str, str] = fields.hashes("files")
        self.raw = fields.raw
        self._check(fields.text("identity"), identity)

    def __repr__(self) -> str:
        return f"Checkpoint({shown(self._folder.path)!r})"

    def tensors(self, file: str = MODEL) -> Tensors:
        """The tensors of a file, which is held against its hash.

        >>> sorted(Run("runs/tiny").checkpoints()[-1].tensors("optimizer.safetensors").to_numpy())[0]
        'momentum/base_model.bn1_2.bias'
        """
        path = self._folder.path / file
        if file not in self.files:
            raise NotFoundError(f"`{shown(self._folder.path)}` has no `{shown(file)}`, but {', '.join(map(shown, self.files))}")
        content = self._folder.read(file, WEIGHTS)
        computed = hashlib.sha256(content).hexdigest()
        if computed != self.files[file]:
            raise hash_mismatch(path, self.files[file], computed)
        return Tensors(content, path)

    def check(self) -> None:
        """Fails unless every file is as it was written.

        >>> Run("runs/tiny").checkpoints()[-1].check()
        """
        for file, expected in self.files.items():
            self._folder.check(file, expected)

    def _check(self, found: str, expected: str) -> None:
        path = shown(self._folder.path)
        if found != expected:
            raise DamagedError(f"`{path}` is of another experiment\n  expected {expected}\n  found    {shown(found)}")
        name = f"{self.kind}-{self.step:08}"
        if self._folder.name != name:
            raise DamagedError(f"`{path}` has another name than its step\n  expected {name}\n  found    {shown(self._folder.name)}")
        if MODEL not in self.files:
            raise DamagedError(f"`{path}` does not list {MODEL}")


def find(run: Folder, identity: str) -> List[Checkpoint]:
    """The best first, then by steps done."""
    places = [f"{CHECKPOINTS}/{name}" for name in run.folders(CHECKPOINTS) if name.partition("-")[0] in STATE]
    found = (_there(run.below(place), identity) for place in places)
    return [checkpoint for checkpoint in found if checkpoint is not None]


def _there(folder: Folder, identity: str) -> Optional[Checkpoint]:
    """None where its state is gone, which goes first when a checkpoint is removed: by a process that works, or was killed."""
    try:
        return Checkpoint(folder, identity)
    except NotFoundError:
        return None


def of_results(checkpoints: List[Checkpoint], run: object) -> Tensors:
    """The weights that a run's results are of: the best that it keeps, else the averaged, else the last."""
    best: Optional[Checkpoint] = next((c for c in reversed(checkpoints) if c.kind == "best"), None)
    chosen = best or next((c for c in reversed(checkpoints)), None)
    if chosen is None:
        raise NotFoundError(f"the run `{shown(run)}` has no checkpoint yet")
    return chosen.tensors(AVERAGE if best is None and AVERAGE in chosen.files else MODEL)
