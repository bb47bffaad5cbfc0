"""The package by itself: what it imports, and that its examples hold."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

import ffn_video
from ffn_video import Run

from conftest import Binary

OTHERS = ["pandas", "polars", "numpy", "torch", "safetensors"]

#: A Python in which none of them can be imported.
WITHOUT = f"""
import sys
for name in {OTHERS}: sys.modules[name] = None
import ffn_video
run = ffn_video.Run(sys.argv[1])
assert len(run.metrics()) == 12 and run.verify().is_intact
for method in (run.metrics().to_pandas, run.metrics().to_polars, run.metrics().to_numpy, run.weights().to_numpy, run.weights().to_torch):
    try:
        method()
    except ffn_video.MissingPackageError as error:
        print(error.message.partition(":")[0], "|", error.hint)
"""


def test_nothing_else_is_needed(tiny: Run) -> None:
    command = [sys.executable, "-c", WITHOUT, str(tiny.path)]
    told = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert told.splitlines() == [
        "Table.to_pandas needs pandas | pip install pandas",
        "Table.to_polars needs polars | pip install polars",
        "Table.to_numpy needs numpy | pip install numpy",
        "Tensors.to_numpy needs numpy | pip install numpy",
        "Tensors.to_torch needs torch | pip install torch",
    ]


def test_the_import_brings_nothing_else() -> None:
    code = f"import sys, ffn_video; print([name for name in {OTHERS} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def examples() -> Iterator[doctest.DocTest]:
    names = [ffn_video.__name__, *(f"ffn_video.{module.name}" for module in pkgutil.iter_modules(ffn_video.__path__))]
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in names:
        module = importlib.import_module(name)
        yield from (test for test in finder.find(module, extraglobs=vars(ffn_video)) if test.examples)


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: str(example.name))
def test_the_examples_hold(example: doctest.DocTest, ffn: Binary, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any("torch" in part.source for part in example.examples):
        pytest.importorskip("torch")
    monkeypatch.chdir(runs.parent)
    if not Path("tiny.safetensors").exists():
        ffn("export", runs / "tiny", "--out", Path("tiny.safetensors").absolute())
    told: list[str] = []
    doctest.DocTestRunner().run(example, out=told.append)
    assert told == []


def public() -> Iterator[str]:
    for name in ffn_video.__all__:
        value = getattr(ffn_video, name)
        yield name
        if isinstance(value, type) and not issubclass(value, Exception):
            yield from (f"{name}.{member}" for member in vars(value) if callable(getattr(value, member)) and member[0] != "_")


def test_everything_public_has_an_example() -> None:
    shown = {example.name.partition(".")[2].partition(".")[2] for example in examples()}
    without = [name for name in public() if name not in shown and not name.endswith("Error")]
    assert without == []
