"""`eval/`: what a model says at each frame count."""

from __future__ import annotations

import re
from typing import Any, List, Optional, Tuple

from . import _documents as documents
from ._errors import NotFoundError, hash_mismatch, shown
from ._files import Folder
from ._lines import Line, lines
from ._table import Table

EVAL = "eval"
_SUMMARY = re.compile(r"([0-9]+)\.json")

#: Columns of the results of one run, behind the run's name.
RESULTS = {
    "step": "int",
    "frames": "int",
    "branch": "int",
    "views": "int",
    "clips": "int",
    "top1": "int",
    "top5": "int",
    "top1_percent": "float",
    "top5_percent": "float",
    "loss": "float",
    "pinned": "bool",
    "left_out": "int",
}
_CLASSES = {"class": "str", "clips": "int", "top1": "int", "top1_percent": "float"}
_PREDICTIONS = {
    "id": "str",
    "label": "int",
    "predicted": "int",
    "probability": "float",
    "rank": "int",
    "top_classes": "[int]",
    "top_probabilities": "[float]",
}


class Evaluation:
    """One evaluation of a run: its final one, or another of `Run.evaluations`."""

    def __init__(self, run: Folder, name: Optional[str]) -> None:
        if name is not None and name not in evaluations(run):
            known = ", ".join(map(shown, evaluations(run))) or "none"
            raise NotFoundError(f"`{shown(run.path)}` has no evaluation `{shown(name)}`; it has: {known}")
        self._run = run
        self._place = EVAL if name is None else f"{EVAL}/{name}"

    def frames(self) -> List[int]:
        """The frame counts that there are results of, ascending."""
        matches = map(_SUMMARY.fullmatch, self._run.files(self._place))
        return sorted(int(match[1]) for match in matches if match)

    def rows(self) -> List[Tuple[Any, ...]]:
        return [_row(self._summary(frames)) for frames in self.frames()]

    def classes(self, frames: int) -> Table:
        classes = self._summary(frames).fields("classes")
        counts = ((name, of.whole("clips"), of.whole("top1")) for name, of in classes.objects())
        return Table(_CLASSES, ((name, clips, top1, percentage(top1, clips)) for name, clips, top1 in counts))

    def predictions(self, frames: int) -> Table:
        """Fails where the predictions are not those that the summary was made from."""
        expected = self._summary(frames).text("predictions_sha256")
        name = f"{self._place}/{frames}.predictions.jsonl"
        content = lines(self._run, name)
        if content.sha256 != expected:
            raise hash_mismatch(self._run.path / name, expected, content.sha256)
        return Table(_PREDICTIONS, map(_prediction, content.whole()))

    def _summary(self, frames: int) -> documents.Fields:
        if frames not in self.frames():
            known = ", ".join(map(str, self.frames())) or "none"
            place = shown(self._run.path / self._place)
            raise NotFoundError(f"`{place}` has no result at {shown(repr(frames))} frames; it has: {known}")
        return documents.read(self._run, f"{self._place}/{frames}.json")


def evaluations(run: Folder) -> List[str]:
    """Names of the evaluations beside the final one: `epoch-0002`, `last`, `unaveraged`."""
    return run.folders(EVAL)


def percentage(part: int, whole: int) -> float:
    """As `ffn` computes it, to the last bit; 0 of nothing."""
    return 100.0 * part / max(whole, 1)


def _row(summary: documents.Fields) -> Tuple[Any, ...]:
    clips, top1, top5 = summary.whole("clips"), summary.whole("top1"), summary.whole("top5")
    return (
        summary.whole("step"),
        summary.whole("frames"),
        summary.whole("branch"),
        summary.whole("views"),
        clips,
        top1,
        top5,
        percentage(top1, clips),
        percentage(top5, clips),
        summary.number("loss"),
        summary.flag("pinned"),
        summary.whole("left_out", 0),
    )


def _prediction(line: Line) -> Tuple[Any, ...]:
    fields = line.fields
    top = [_pair(value, fields.where) for value in fields.list("top")]
    return (
        fields.text("id"),
        fields.whole("label"),
        fields.whole("predicted"),
        fields.number("probability"),
        fields.whole("rank"),
        [index for index, _ in top],
        [probability for _, probability in top],
    )


def _pair(value: object, where: str) -> Tuple[int, float]:
    index, probability = value if isinstance(value, list) and len(value) == 2 else (value, None)
    return documents.as_whole(index, f"{where}: `top`"), documents.as_number(probability, f"{where}: `top`")
