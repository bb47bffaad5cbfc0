"""Runs that are not finished, while a process writes them and after it was killed."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Callable

import pytest

from ffn_video import DamagedError, NotFoundError, Run, runs

from conftest import Binary


def unfinished(run: Run) -> Run:
    """As it was before it was finished."""
    path = run.path / "manifest.json"
    document = json.loads(path.read_text())
    document["finished"] = False
    document["files"] = {name: document["files"][name] for name in ("classes.json", "experiment.ron")}
    document["seal"] = "0" * 64
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()))
    return run


def test_a_run_is_read_while_it_works(ffn: Binary, place: Path) -> None:
    out = place / "working"
    process = ffn.start("run", "fixtures/experiments/tiny.ron", "--out", out, "--set", "train.epochs=60", "--set", "eval.every=10")
    seen = [0]
    with process:
        while process.poll() is None:
            if out.is_dir() and (found := runs(out)):
                run = found[0]
                assert run.name.startswith("tiny-") and len(run.class_names) == 8
                seen.append(len(run.metrics()))
                run.timings(), run.results(), run.evaluations(), run.processes()
                if run.checkpoints():
                    read_of_a_checkpoint(run)
            # The run wants the processor too.
            time.sleep(0.02)
    assert process.returncode == 0 and seen == sorted(seen)
    assert len({steps for steps in seen if 0 < steps < 180}) > 3, seen
    (run,) = runs(out)
    assert run.manifest.finished and len(run.metrics()) == run.manifest.steps == 180
    assert run.verify().is_intact


def read_of_a_checkpoint(run: Run) -> None:
    """It may be replaced by the next one meanwhile."""
    try:
        assert "new_fc.weight" in run.weights().to_numpy()
    except NotFoundError as error:
        assert "is missing" in str(error)


@pytest.mark.parametrize("tail", [b'{"step":12,"ep', b'{"step":12,"skipped":["\xc3', b"{"])
def test_a_line_that_is_being_written_is_not_there_yet(tail: bytes, copy: Callable[[], Run]) -> None:
    run = unfinished(copy())
    for name in ("metrics.jsonl", "timing.jsonl"):
        with (run.path / name).open("ab") as file:
            file.write(tail)
    assert run.metrics()["step"] == list(range(12)) and len(run.timings()) == 12
    assert run.verify().problems != ()  # Of the history, which says that the run was finished.


def test_in_a_finished_run_it_is_damage(copy: Callable[[], Run]) -> None:
    run = copy()
    path = run.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=r"hash mismatch for `.*metrics.jsonl`\n  expected [0-9a-f]{64}\n  computed"):
        run.metrics()


def test_a_line_in_the_middle_is_damage(copy: Callable[[], Run]) -> None:
    run = unfinished(copy())
    path = run.path / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], lines[3][:20] + "\n", *lines[4:]]))
    with pytest.raises(DamagedError, match="metrics.jsonl` line 4 is damaged"):
        run.metrics()
    path.write_text("".join([*lines[:3], *lines[4:]]))
    with pytest.raises(DamagedError, match=r"line 4 is of another step\n  expected 3\n  found    4"):
        run.metrics()


def test_what_a_killed_process_left_in_the_timings_is_left_out(copy: Callable[[], Run]) -> None:
    run = copy()
    path = run.path / "timing.jsonl"
    path.write_bytes(b'{"step":0,"sec{"step":0,"seconds":1.0,"waited":0.5,"queue":2}\n' + path.read_bytes())
    assert len(run.timings()) == 12


def test_a_run_that_has_only_begun_is_empty(copy: Callable[[], Run]) -> None:
    run = unfinished(copy())
    for name in ("metrics.jsonl", "timing.jsonl", "history.json"):
        (run.path / name).unlink()
    for name in ("eval", "checkpoints", "analysis"):
        shutil.rmtree(run.path / name)
    assert len(run.metrics()) == len(run.timings()) == len(run.results()) == 0
    assert not any((run.processes(), run.evaluations(), run.checkpoints(), run.analyses()))
    assert run.metrics().to_pandas().empty and run.results().to_polars().height == 0
    with pytest.raises(NotFoundError, match="has no checkpoint yet"):
        run.weights()
    with pytest.raises(NotFoundError, match="has no result at 4 frames; it has: none"):
        run.predictions(4)


def test_a_killed_run_is_read(ffn: Binary, place: Path) -> None:
    out = place / "killed"
    process = ffn.start("run", "fixtures/experiments/tiny.ron", "--out", out, "--set", "train.epochs=400")
    with process:
        limit = time.monotonic() + 60
        while not (out.is_dir() and runs(out) and len(runs(out)[0].metrics()) > 20):
            assert time.monotonic() < limit and process.poll() is None
        process.kill()
    (run,) = runs(out)
    assert not run.manifest.finished and run.processes()[-1].outcome == "working"
    assert len(run.metrics()) > 20 and run.verify().is_intact, run.verify()
