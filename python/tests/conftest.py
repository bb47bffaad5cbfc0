"""What the tests read: runs that the binary makes, in seconds, of the tiny experiment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Iterator

import pytest

from ffn_video import Run

ROOT = Path(__file__).parents[2]
#: All that a run can keep besides its last weights: averaged ones, the best, an evaluation for each epoch.
EVERYTHING = ["train.ema=(decay: 0.9)", "train.keep=Best(frames: 4)", "eval.every=1"]


class Binary:
    """`ffn`, called in the project's folder, with a data set of its own and nobody's configuration."""

    def __init__(self, place: Path) -> None:
        self.program = os.environ.get("FFN_BINARY") or str(ROOT / "target" / "release" / "ffn")
        if not Path(self.program).is_file():
            pytest.exit(f"`{self.program}` is missing: cargo build --release, or FFN_BINARY=PATH", 2)
        none = str(place / "no-configuration.ron")
        self._environment = {**os.environ, "FFN_DATA_MINIATURE": str(place / "data"), "FFN_CONFIG": none, "NO_COLOR": "1"}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [self.program, *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=self._environment, text=True, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL)

    def __call__(self, *arguments: object, code: int = 0) -> str:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        return out + err


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ffn")


@pytest.fixture(scope="session")
def ffn(place: Path) -> Binary:
    return Binary(place)


@pytest.fixture(scope="session")
def runs(place: Path, ffn: Binary) -> Path:
    """`tiny` with an analysis, the suite `suite` with its runs, and `rich`, which has `EVERYTHING`."""
    folder = place / "runs"
    ffn("run", "fixtures/suites/tiny.ron", "--out", folder)
    (suite,) = folder.glob("tiny_suite-*")
    suite.rename(folder / "suite")
    first = next(run for run in sorted(folder.iterdir()) if is_run_of_seed_1(run))
    shutil.copytree(first, folder / "tiny")
    ffn("analyse", folder / "tiny")
    settings = [word for setting in EVERYTHING for word in ("--set", setting)]
    other = place / "other"
    ffn("run", "fixtures/experiments/tiny.ron", "--out", other, *settings)
    (rich,) = other.iterdir()
    rich.rename(other / "rich")
    return folder


def is_run_of_seed_1(folder: Path) -> bool:
    experiment = folder / "experiment.ron"
    return experiment.is_file() and "seed: 1," in experiment.read_text() and 'name: "tiny",' in experiment.read_text()


@pytest.fixture(scope="session")
def tiny(runs: Path) -> Run:
    return Run(runs / "tiny")


@pytest.fixture(scope="session")
def rich(runs: Path) -> Run:
    return Run(runs.parent / "other" / "rich")


@pytest.fixture()
def copy(tiny: Run, tmp_path: Path) -> Iterator[Callable[[], Run]]:
    """A copy of the tiny run, to damage."""

    def make() -> Run:
        target = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(tiny.path, target)
        return Run(target)

    yield make
