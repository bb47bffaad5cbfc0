"""`metrics.jsonl` and `timing.jsonl`: what each training step gave, and how long it took."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Tuple

from . import _documents as documents
from ._errors import DamagedError
from ._files import Folder
from ._lines import Line, lines
from ._table import Table

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
_TIMINGS = {"step": "int", "seconds": "float", "waited": "float", "queue": "int"}
_PLAIN = {"step": "int", "epoch": "int", "lr": "float", "loss": "float", "grad_norm": "float"}


def metrics(run: Folder, is_finished: bool) -> Table:
    """The terms and accuracies have a column each, with the names that `ffn export-metrics` gives them."""
    records = [_record(line) for line in _written(run, is_finished)]
    terms = sorted({name for record in records for name in record["terms"]})
    frames = sorted({name for record in records for name in record["accuracy"]}, key=lambda name: (len(name), name))
    types = {
        **_PLAIN,
        **{f"terms/{name}": "float" for name in terms},
        **{f"accuracy/{name}": "float" for name in frames},
        "skipped": "[str]",
    }
    return Table(types, (_row(record, terms, frames) for record in records))


def steps(run: Folder, is_finished: bool) -> int:
    """How many steps the file has; fails where one is missing or damaged."""
    return sum(1 for line in _written(run, is_finished) if _record(line))


def timings(run: Folder) -> Table:
    if not run.has(TIMING):
        return Table(_TIMINGS, [])
    return Table(_TIMINGS, (_timing(line.fields) for line in lines(run, TIMING).readable()))


def _written(run: Folder, is_finished: bool) -> Iterable[Line]:
    if not is_finished and not run.has(METRICS):
        return []
    content = lines(run, METRICS)
    return content.whole() if is_finished else content.written()


def _record(line: Line) -> Dict[str, Any]:
    fields = line.fields
    record: Dict[str, Any] = {
        "step": fields.whole("step"),
        "epoch": fields.whole("epoch"),
        **{name: fields.number(name) for name in ("lr", "loss", "grad_norm")},
        **{name: _numbers(fields.fields(name)) for name in ("terms", "accuracy")},
        "skipped": [documents.as_text(value, f"{fields.where}: `skipped`") for value in fields.list("skipped", [])],
    }
    if record["step"] != line.index:
        raise DamagedError(f"{fields.where} is of another step\n  expected {line.index}\n  found    {record['step']}")
    return record


def _numbers(fields: documents.Fields) -> Dict[str, float]:
    return {name: fields.number(name) for name in fields.raw}


def _row(record: Dict[str, Any], terms: List[str], frames: List[str]) -> Tuple[Any, ...]:
    return (
        *(record[name] for name in _PLAIN),
        *(record["terms"].get(name) for name in terms),
        *(record["accuracy"].get(name) for name in frames),
        record["skipped"],
    )


def _timing(fields: documents.Fields) -> Tuple[Any, ...]:
    return fields.whole("step"), fields.number("seconds"), fields.number("waited"), fields.whole("queue")
