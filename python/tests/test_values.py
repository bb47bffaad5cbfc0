"""What the package reads equals, bit for bit, what `ffn` itself writes for other programs."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ffn_video
from ffn_video import Run, Table

from conftest import Binary

Points = Dict[Tuple[str, int], float]


@pytest.fixture(scope="session")
def exported(ffn: Binary, tiny: Run, place: Path) -> Path:
    """Everything that `ffn` exports of the tiny run."""
    out = place / "exported"
    for format in ("csv", "parquet"):
        ffn("export-metrics", "--to", format, "--out", out, tiny.path)
    ffn("export", tiny.path, "--out", out / "weights.safetensors")
    return out


def of_training(metrics: Table) -> Points:
    scalars = [name for name in metrics.columns if name not in ("step", "epoch", "skipped")]
    rows = list(metrics.rows())
    return {(f"train/{name}", row["step"]): row[name] for row in rows for name in scalars}


def of_evaluations(run: Run) -> Points:
    points: Points = {}
    for at in (None, *run.evaluations()):
        for row in run.results(at).rows():
            for tag, column in (("top1", "top1_percent"), ("top5", "top5_percent"), ("loss", "loss")):
                points[f"eval/{tag}/{row['frames']}", row["step"]] = row[column]
    return points


def test_metrics_and_results_are_those_of_the_csv(exported: Path, tiny: Run) -> None:
    with (exported / "tiny.csv").open() as file:
        points = {(row["tag"], int(row["step"])): float(row["value"]) for row in csv.DictReader(file)}
    assert points == {**of_training(tiny.metrics()), **of_evaluations(tiny)}


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_frames_are_those_of_the_parquet(backend: str, exported: Path, tiny: Run) -> None:
    file = exported / "tiny.parquet"
    table = tiny.metrics()
    if backend == "pandas":
        theirs = pd.read_parquet(file).query("tag == 'train/loss'")["value"].to_list()
        ours = table.to_pandas()
        assert ours["loss"].to_list() == theirs
        assert str(ours["step"].dtype) == "int64" and str(ours["loss"].dtype) == "float64"
    else:
        theirs = pl.read_parquet(file).filter(pl.col("tag") == "train/loss")["value"].to_list()
        frame = table.to_polars()
        assert frame["loss"].to_list() == theirs
        assert frame.schema["step"] == pl.Int64 and frame.schema["skipped"] == pl.List(pl.String)
    assert len(theirs) == tiny.manifest.steps


def bits(array: np.ndarray[Any, Any]) -> Tuple[str, Tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()


def test_weights_are_those_of_the_export(exported: Path, tiny: Run) -> None:
    from safetensors.numpy import load_file

    theirs = load_file(exported / "weights.safetensors")
    ours = tiny.weights().to_numpy()
    again = ffn_video.read_safetensors(exported / "weights.safetensors").to_numpy()
    assert {name: bits(array) for name, array in ours.items()} == {name: bits(array) for name, array in theirs.items()}
    assert {name: bits(array) for name, array in again.items()} == {name: bits(array) for name, array in theirs.items()}
    ours["new_fc.bias"][:] = 0.0


def test_weights_of_torch_are_those_of_the_export(exported: Path, tiny: Run) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    theirs = load_file(exported / "weights.safetensors")
    ours = tiny.weights().to_torch()
    assert ours.keys() == theirs.keys()
    assert all(ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in ours)


def test_every_type_of_torch_comes_back(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    types = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    values = torch.tensor([[0.0, 1.0, -2.5], [3.140625, 1e-3, 96.0]])
    tensors = {name: values.abs().to(getattr(torch, name)) for name in types}
    tensors.update(empty=torch.zeros(0, 3), scalar=torch.tensor(7), halves=values.bfloat16())
    save_file(tensors, tmp_path / "all.safetensors")
    read = ffn_video.read_safetensors(tmp_path / "all.safetensors")
    assert all(torch.equal(tensor, tensors[name]) and tensor.dtype == tensors[name].dtype for name, tensor in read.to_torch().items())
    arrays = read.to_numpy()
    assert arrays.keys() == tensors.keys()
    for name, tensor in tensors.items():
        # NumPy has no bf16: float32 holds every value of it.
        expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        assert bits(arrays[name]) == bits(expected), name
        assert arrays[name].flags.writeable


def test_predictions_are_those_of_the_file(tiny: Run) -> None:
    for frames in (2, 3, 4):
        lines = (tiny.path / f"eval/{frames}.predictions.jsonl").read_text().splitlines()
        theirs = [json.loads(line) for line in lines]
        table = tiny.predictions(frames)
        assert table["id"] == [line["id"] for line in theirs]
        pairs = [[list(pair) for pair in zip(*top)] for top in zip(table["top_classes"], table["top_probabilities"])]
        assert pairs == [line["top"] for line in theirs]
        for name in ("label", "predicted", "probability", "rank"):
            assert table[name] == [line[name] for line in theirs]
        summary = next(row for row in tiny.results().rows() if row["frames"] == frames)
        arrays = table.to_numpy()
        assert (arrays["predicted"] == arrays["label"]).sum() == summary["top1"]
        assert (arrays["rank"] <= 5).sum() == summary["top5"]
        assert arrays["top_classes"].shape == arrays["top_probabilities"].shape == (summary["clips"], 5)


def test_classes_add_up_to_the_result(tiny: Run) -> None:
    for row in tiny.results().rows():
        classes = tiny.classes(row["frames"])
        assert sorted(classes["class"]) == sorted(tiny.class_names)
        assert (sum(classes["clips"]), sum(classes["top1"])) == (row["clips"], row["top1"])


def test_both_backends_have_the_same_values(tiny: Run) -> None:
    tables = [tiny.metrics(), tiny.timings(), tiny.results(), tiny.classes(4), tiny.predictions(4)]
    for table in tables:
        pandas, polars = table.to_pandas(), table.to_polars()
        assert list(pandas.columns) == polars.columns == list(table.columns)
        for name in table.columns:
            assert pandas[name].to_list() == polars[name].to_list() == table[name], name


def test_a_table_with_gaps_keeps_them() -> None:
    types = {"a": "int", "b": "float", "c": "str", "d": "bool"}
    table = Table(types, [(1, 0.5, "x", True), (None, None, None, None)])
    frame = table.to_pandas()
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "float64", "string", "boolean"]
    assert frame.isna().to_numpy().tolist() == [[False] * 4, [True] * 4]
    assert table.to_polars().null_count().row(0) == (1, 1, 1, 1)
    arrays = table.to_numpy()
    assert np.isnan(arrays["a"][1]) and np.isnan(arrays["b"][1]) and arrays["c"][1] is None


def test_an_empty_table_has_its_types() -> None:
    table = Table({"a": "int", "b": "[float]", "c": "str"}, [])
    assert str(table.to_pandas().dtypes["a"]) == "int64"
    assert table.to_polars().schema == {"a": pl.Int64, "b": pl.List(pl.Float64), "c": pl.String}
    assert table.to_numpy()["b"].shape == (0, 0) and len(table) == 0


def test_the_results_weights_are_the_best_and_else_the_averaged(rich: Run, tmp_path: Path) -> None:
    kinds = [checkpoint.kind for checkpoint in rich.checkpoints()]
    assert kinds == ["best", "step"] and set(rich.evaluations()) >= {"last", "unaveraged"}
    best, last = rich.checkpoints()
    assert best.step == rich.results()["step"][0]
    ours = {name: bits(array) for name, array in rich.weights().to_numpy().items()}
    assert ours == {name: bits(array) for name, array in best.tensors().to_numpy().items()}

    shutil.copytree(rich.path, tmp_path / "run")
    shutil.rmtree(next((tmp_path / "run/checkpoints").glob("best-*")))
    averaged = Run(tmp_path / "run").weights().to_numpy()
    assert bits(averaged["new_fc.weight"]) == bits(last.tensors("average.safetensors").to_numpy()["new_fc.weight"])
    assert bits(averaged["new_fc.weight"]) != bits(last.tensors().to_numpy()["new_fc.weight"])


def test_the_export_of_a_run_with_a_best_has_its_weights(ffn: Binary, rich: Run, tmp_path: Path) -> None:
    ffn("export", rich.path, "--out", tmp_path / "best.safetensors")
    theirs = ffn_video.read_safetensors(tmp_path / "best.safetensors").to_numpy()
    ours = rich.weights().to_numpy()
    assert {name: bits(array) for name, array in ours.items()} == {name: bits(array) for name, array in theirs.items()}


def test_many_runs_make_one_table(runs: Path) -> None:
    found = ffn_video.runs(runs)
    table = ffn_video.results(found)
    names = [run.name for run in found]
    assert names == sorted(names) and "suite" not in names and "tiny" in names
    assert table["run"] == [name for name in names for _ in range(3)]
    with pytest.raises(ffn_video.NotFoundError, match="is no folder"):
        ffn_video.runs(runs / "nowhere")


def test_a_suite_has_its_members_and_verdicts(runs: Path) -> None:
    suite = ffn_video.Suite(runs / "suite")
    members = suite.members()
    assert len(members) == 6 and set(members["seed"]) == {1, 2}
    assert members["train.epochs"] == [None, None, "1", "1", "2", "2"]
    found = {run.name: run for run in suite.runs()}
    assert [found[name].manifest.identity for name in members["run"]] == members["identity"]
    written: List[Dict[str, Any]] = json.loads((runs / "suite/verdicts.json").read_text())
    verdicts = suite.verdicts()
    for column, field in {"id": "id", "verdict": "verdict", "value": "value", "clips": "clips", "runs": "runs"}.items():
        assert verdicts[column] == [verdict[field] for verdict in written]
    assert list(zip(verdicts["low"], verdicts["high"])) == [tuple(verdict["interval"]) for verdict in written]
    assert verdicts.to_pandas()["tolerance"].isna().all()
    assert hashlib.sha256(suite.text.encode()).hexdigest() in (runs / "suite/suite.json").read_text()
