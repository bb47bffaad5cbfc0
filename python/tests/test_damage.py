"""Folders that are not as `ffn` wrote them: what is said, and that nothing outside them is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

import ffn_video
from ffn_video import DamagedError, Error, NotFoundError, Run, Suite

from conftest import Binary

Copy = Callable[[], Run]


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def reseal(path: Path, change: Callable[[Dict[str, Any]], None]) -> None:
    """A document with a seal of its own, as somebody who wants to mislead a reader would write it."""
    document = json.loads(path.read_text())
    change(document)
    document["seal"] = "0" * 64
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1))


def files_of(run: Run) -> Dict[str, Path]:
    files = {str(path.relative_to(run.path)): path for path in run.path.rglob("*") if path.is_file()}
    return {name: path for name, path in files.items() if name != "lock"}


def test_every_flipped_bit_is_found_as_by_the_binary(ffn: Binary, tiny: Run, rich: Run, tmp_path: Path) -> None:
    for run in (tiny, rich):
        assert run.verify().is_intact and run.verify().unlisted == ()
        ffn("verify", run.path)
        for index, name in enumerate(files_of(run)):
            copy = tmp_path / f"{run.name}-{index}"
            shutil.copytree(run.path, copy)
            flip_bit(copy / name)
            report = Run(copy).verify()
            assert any(name in problem for problem in report.problems), (name, report)
            ffn("verify", copy, code=1)


def test_every_missing_file_is_found(tiny: Run, tmp_path: Path) -> None:
    for index, name in enumerate(files_of(tiny)):
        if name.startswith(("manifest", "history", "analysis")):
            continue
        copy = tmp_path / str(index)
        shutil.copytree(tiny.path, copy)
        (copy / name).unlink()
        assert any(name in problem and "missing" in problem for problem in Run(copy).verify().problems), name


def test_an_evaluation_that_is_gone_is_not_passed_over(copy: Copy) -> None:
    run = copy()
    (run.path / "eval" / "3.json").unlink()
    with pytest.raises(DamagedError, match="3.json` is damaged: it is missing"):
        run.results()


def test_what_no_hash_covers_is_told(copy: Copy) -> None:
    run = copy()
    (run.path / "notes.txt").write_text("mine")
    assert run.verify().unlisted == ("notes.txt",) and run.verify().is_intact


def test_reading_what_is_damaged_names_it(copy: Copy) -> None:
    reads: Dict[str, Callable[[Run], object]] = {
        "eval/4.json": lambda run: run.results(),
        "eval/4.predictions.jsonl": lambda run: run.predictions(4),
        "metrics.jsonl": lambda run: run.metrics(),
        "classes.json": lambda run: run.class_names,
        "experiment.ron": lambda run: run.experiment,
        "checkpoints/step-00000012/model.safetensors": lambda run: run.weights(),
    }
    for name, read in reads.items():
        run = copy()
        flip_bit(run.path / name)
        with pytest.raises(DamagedError, match=r"hash mismatch for `.*`\n  expected [0-9a-f]{64}\n  computed [0-9a-f]{64}") as raised:
            read(run)
        assert name in str(raised.value)
    seals: Dict[str, Callable[[Run], object]] = {
        "manifest.json": lambda run: run.manifest,
        "history.json": lambda run: run.processes(),
        "analysis/drift.json": lambda run: run.analysis("drift"),
        "checkpoints/step-00000012/state.json": lambda run: run.checkpoints(),
    }
    for name, sealed in seals.items():
        run = copy()
        flip_bit(run.path / name)
        with pytest.raises(DamagedError, match="is damaged: its content does not have its seal"):
            sealed(run)


NAMES = ["../outside", "/etc/hostname", "eval/../../outside", "", ".", "eval//4.json", "eval/", "a\0b", "link", "links/outside"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_a_manifest_leads_out_of_the_folder(name: str, copy: Copy) -> None:
    run = copy()
    outside = run.path.parent / "outside"
    outside.write_text("secret")
    (run.path / "link").symlink_to(outside)
    (run.path / "links").symlink_to(run.path.parent)
    secret = hashlib.sha256(b"secret").hexdigest()
    reseal(run.path / "manifest.json", lambda manifest: manifest["files"].update({name: secret}))
    problems = [problem for problem in run.verify().problems if "manifest.json`" not in problem]
    assert len(problems) == 1, problems
    assert "is no name of a file" in problems[0] or "leads out of its folder" in problems[0], problems
    assert "hash mismatch" not in problems[0]


@pytest.mark.parametrize("name", ["../outside", "state.json/../../../outside", "/etc/hostname"])
def test_no_name_in_a_checkpoint_does(name: str, copy: Copy) -> None:
    run = copy()
    reseal(run.path / "checkpoints/step-00000012/state.json", lambda state: state["files"].update({name: "0" * 64}))
    with pytest.raises(DamagedError, match="is no name of a file"):
        run.checkpoints()[0].tensors(name)


@pytest.mark.parametrize("run", ["../elsewhere", "..", "/", "a/b", ""])
def test_no_name_in_a_suite_does(run: str, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "suite", tmp_path / "suite")
    reseal(tmp_path / "suite/suite.json", lambda record: record["members"][0].update(run=run))
    with pytest.raises(DamagedError, match="is no name of a run beside the suite"):
        Suite(tmp_path / "suite").runs()


def test_a_damaged_suite_is_found(runs: Path, tmp_path: Path) -> None:
    place = tmp_path / "runs"
    shutil.copytree(runs, place)
    suite = Suite(place / "suite")
    assert suite.verify().is_intact
    predictions = next(iter(json.loads((place / "suite/verdicts.json").read_text())[1]["evidence"]))
    flip_bit(place / predictions)
    assert any(predictions in problem for problem in suite.verify().problems)
    shutil.rmtree(place / predictions.partition("/")[0])
    assert any("runs are missing: " in problem for problem in suite.verify().problems)
    (place / "suite/verdicts.json").unlink()
    with pytest.raises(NotFoundError, match="hint: `ffn run` with the suite's file judges its claims"):
        suite.verdicts()
    flip_bit(place / "suite/suite.ron")
    with pytest.raises(DamagedError, match="hash mismatch"):
        suite.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "is of another type\n  expected an object\n  found    list"),
        ('{"clips": ' + "[" * 900 + "]" * 900 + "}", "expected a whole number\n  found    list"),
        ('{"clips": "\\ud800"}', "surrogates not allowed"),
        ('{"frames": NaN}', "expected a number, found NaN"),
        ('{"frames": 1e999}', "expected a number of 64 bits"),
        ("{}", "`clips` is missing\n  expected a whole number"),
        ('{"clips": 1' + "0" * 5000 + "}", "is damaged"),
        ('{"clips": 99999999999999999999}', "`clips` is of another type\n  expected a whole number"),
        ('{"clips": "\\u001b[31m"}', 'found    "\\u001b[31m"'),
    ],
)
def test_a_document_of_another_form_is_refused(text: str, message: str, copy: Copy) -> None:
    run = copy()
    (run.path / "eval/4.json").write_text(text)
    reseal(run.path / "manifest.json", lambda manifest: manifest["files"].pop("eval/4.json"))
    with pytest.raises(DamagedError) as raised:
        run.results()
    assert message in str(raised.value) and "eval/4.json" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_damaged_run_does_not_hide_the_others(copy: Copy, tmp_path: Path) -> None:
    copy()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/manifest.json").symlink_to("/etc/hostname")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    whole, linked = ffn_video.runs(tmp_path)
    assert whole.verify().is_intact and linked.name == "linked"
    with pytest.raises(DamagedError, match="leads out of its folder, to `/etc/hostname`"):
        linked.manifest


def test_another_format_is_refused(copy: Copy) -> None:
    run = copy()
    reseal(run.path / "manifest.json", lambda manifest: manifest.update(format=2))
    with pytest.raises(DamagedError, match=r"of another format\n  expected 1\n  found    2"):
        run.metrics()


def test_a_checkpoint_of_another_step_or_experiment_is_refused(copy: Copy) -> None:
    run = copy()
    (run.path / "checkpoints/step-00000012").rename(run.path / "checkpoints/step-00000090")
    with pytest.raises(DamagedError, match=r"expected step-00000012\n  found    step-00000090"):
        run.weights()
    run = copy()
    reseal(run.path / "checkpoints/step-00000012/state.json", lambda state: state.update(identity="f" * 64))
    with pytest.raises(DamagedError, match="is of another experiment"):
        run.weights()


def test_weights_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for content in (b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}x", b'\x09\0\0\0\0\0\0\0{"a":"b"}'):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="weights.safetensors` is damaged"):
            ffn_video.read_safetensors(path).to_numpy()


@pytest.mark.skipif(os.name == "nt", reason="FIFOs and modes are POSIX's")
def test_only_files_are_read(copy: Copy) -> None:
    run = copy()
    (run.path / "manifest.json").unlink()
    os.mkfifo(run.path / "manifest.json")
    with pytest.raises(DamagedError, match="is no regular file"):
        run.manifest
    (run.path / "manifest.json").unlink()
    (run.path / "manifest.json").mkdir()
    with pytest.raises(Error):
        run.manifest


def test_wrong_places_say_so(runs: Path, tiny: Run, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"is not a run folder: it has no manifest.json\n\nhint: "):
        Run(tmp_path)
    with pytest.raises(NotFoundError, match="is not the folder of a suite"):
        Suite(tiny.path)
    with pytest.raises(NotFoundError, match="has no result at 5 frames; it has: 2, 3, 4"):
        tiny.predictions(5)
    with pytest.raises(NotFoundError, match="`.*` is no folder"):
        ffn_video.runs(tiny.path / "manifest.json")
    for at in ("epoch-0009", "..", "../eval", ""):
        with pytest.raises(NotFoundError, match="it has: epoch-0002"):
            tiny.results(at=at)
    for name in ("nothing", "../manifest"):
        with pytest.raises(NotFoundError, match="it has: .*drift"):
            tiny.analysis(name)
    with pytest.raises(NotFoundError, match="but model.safetensors, optimizer.safetensors"):
        tiny.checkpoints()[0].tensors("../../manifest.json")
