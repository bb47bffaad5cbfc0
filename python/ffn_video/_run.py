"""A run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable, List, Optional, Tuple

from . import _checkpoint as checkpoint
from . import _documents as documents
from . import _history as history
from . import _manifest as manifest
from . import _metrics, _results, _verify
from ._errors import NotFoundError, damaged, shown
from ._files import Folder, PathLike
from ._manifest import Manifest
from ._table import Table
from ._tensors import Tensors

EXPERIMENT = "experiment.ron"
CLASSES = "classes.json"
ANALYSIS = "analysis"


class Run:
    """A run folder, finished or not.

    >>> run = Run("runs/tiny")
    >>> run
    Run('runs/tiny')
    """

    def __init__(self, path: PathLike) -> None:
        self._folder = Folder(path)
        if not self._folder.has(manifest.NAME):
            raise NotFoundError(
                f"`{shown(self.path)}` is not a run folder: it has no {manifest.NAME}",
                "ffn_video.runs(DIR) lists the runs in a folder, ffn_video.Suite(PATH) opens a suite",
            )

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def name(self) -> str:
        """Name of the folder, which names the run in tables.

        >>> Run("runs/tiny").name
        'tiny'
        """
        return self._folder.name

    @property
    def manifest(self) -> Manifest:
        """What the run is, by hashes; see `Manifest`."""
        return manifest.read(self._folder)

    @property
    def experiment(self) -> str:
        """The resolved experiment, as RON. Its SHA-256 must be the run's identity.

        >>> "epochs: 4" in Run("runs/tiny").experiment
        True
        """
        content = Folder(self.path, {EXPERIMENT: self.manifest.identity}).read(EXPERIMENT)
        return content.decode("utf-8")

    @property
    def class_names(self) -> List[str]:
        """The class of each label.

        >>> len(Run("runs/tiny").class_names)
        8
        """
        value = documents.value(_hashed(self), CLASSES)
        if not isinstance(value, list):
            raise damaged(self.path / CLASSES, "it is no list of names")
        return [documents.as_text(name, documents.place(self.path / CLASSES)) for name in value]

    def processes(self) -> List[history.Process]:
        """The processes that worked on the run, with their times and outcomes.

        >>> Run("runs/tiny").processes()[0].to_step
        12
        """
        return history.read(self._folder)[0]

    def metrics(self) -> Table:
        """Each training step: rate, loss and its terms, accuracy at each frame count.

        Of a run that is not finished the steps that are written whole.

        >>> Run("runs/tiny").metrics().columns[5:]
        ('terms/ce', 'terms/kl.2', 'accuracy/2', 'accuracy/4', 'skipped')
        """
        return _metrics.metrics(_hashed(self), self.manifest.finished)

    def timings(self) -> Table:
        """Seconds of each step, those of them waited for the loader, and the batches that were ready after it.

        A step that was computed again after a kill is there twice; a line that a killed process left half written is
        left out.

        >>> Run("runs/tiny").timings().columns
        ('step', 'seconds', 'waited', 'queue')
        """
        return _metrics.timings(self._folder)

    def evaluations(self) -> List[str]:
        """Names of the evaluations beside the final one, for `at`.

        >>> Run("runs/tiny").evaluations()
        ['epoch-0002']
        """
        return _results.evaluations(self._folder)

    def results(self, at: Optional[str] = None) -> Table:
        """Top-1 and top-5 at each frame count, as counts of clips and in percent.

        >>> Run("runs/tiny").results(at="epoch-0002")["step"]
        [6, 6, 6]
        """
        return _table([self], at)

    def classes(self, frames: int, at: Optional[str] = None) -> Table:
        """Clips and top-1 of each class at a frame count.

        >>> sum(Run("runs/tiny").classes(4)["clips"])
        8
        """
        return _results.Evaluation(_hashed(self), at).classes(frames)

    def predictions(self, frames: int, at: Optional[str] = None) -> Table:
        """Each clip: its label, the label's probability and rank (from 1), and the first five classes.

        Probabilities are what a run keeps: of the first five classes and of the label. Logits it does not keep.

        >>> row = next(Run("runs/tiny").predictions(4).rows())
        >>> row["predicted"] == row["top_classes"][0]
        True
        """
        return _results.Evaluation(_hashed(self), at).predictions(frames)

    def analyses(self) -> List[str]:
        """Names of what `ffn analyse` found out about the run.

        >>> "drift" in Run("runs/tiny").analyses()
        True
        """
        files = self._folder.files(ANALYSIS)
        return [name[: -len(".json")] for name in files if name.endswith(".json")]

    def analysis(self, name: str) -> Any:
        """One of them, as it is written; it must have its seal.

        >>> type(Run("runs/tiny").analysis("drift"))
        <class 'dict'>
        """
        if name not in self.analyses():
            known = ", ".join(map(shown, self.analyses())) or "none"
            raise NotFoundError(f"`{shown(self.path)}` has no analysis `{shown(name)}`; it has: {known}")
        return documents.sealed(self._folder, f"{ANALYSIS}/{name}.json").raw

    def checkpoints(self) -> List[checkpoint.Checkpoint]:
        """The checkpoints that are there, those of the best weights first, then by step.

        A run that works removes those that it no longer needs: reading one of them then raises `NotFoundError`.

        >>> [(checkpoint.kind, checkpoint.step) for checkpoint in Run("runs/tiny").checkpoints()]
        [('step', 12)]
        """
        return checkpoint.find(self._folder, self.manifest.identity)

    def weights(self) -> Tensors:
        """The weights that the results are of, under their official names: the best that the run keeps, else the
        averaged, else those of its last checkpoint. They are held against their hash.

        >>> weights = Run("runs/tiny").weights()
        >>> weights.to_torch()["new_fc.weight"].shape
        torch.Size([8, 16])
        """
        return checkpoint.of_results(self.checkpoints(), self.path)

    def verify(self) -> _verify.Report:
        """Recomputes every hash and every seal of the folder; see `Report`.

        >>> Run("runs/tiny").verify().problems
        ()
        """
        return _verify.verify(self._folder)


def runs(path: PathLike = "runs") -> List[Run]:
    """The runs in a folder, by name; damaged ones too, which say so when they are read.

    >>> [run.name for run in runs("runs")][0]
    'tiny'
    """
    folder = Folder(path)
    if not folder.path.is_dir():
        raise NotFoundError(f"`{shown(path)}` is no folder")
    # Links to runs too, as people make them.
    places = [folder.path / name for name in folder.folders_and_links()]
    return [Run(place) for place in places if Folder(place).has(manifest.NAME)]


def results(of: Iterable[Run]) -> Table:
    """One table of many runs: what `Run.results` has of each, one below the other.

    >>> table = results(runs("runs"))
    >>> table.to_pandas().pivot(index="run", columns="frames", values="top1_percent").shape[1]
    3
    """
    return _table(of, None)


def _hashed(run: Run) -> Folder:
    """The folder, of which every listed file that is read must have its hash."""
    return Folder(run.path, run.manifest.files)


def _table(of: Iterable[Run], at: Optional[str]) -> Table:
    rows: List[Tuple[Any, ...]] = []
    for run in of:
        rows.extend((run.name, *row) for row in _results.Evaluation(_hashed(run), at).rows())
    return Table({"run": "str", **_results.RESULTS}, rows)
