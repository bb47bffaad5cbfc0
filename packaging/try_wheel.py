"""Installs a wheel into a fresh virtual environment and uses it as a person without Rust does: the command, then the reader.

    python packaging/try_wheel.py WHEEL

From any folder; the experiment is `fixtures/experiments/tiny.ron`.
Nothing is taken from an index: the wheel depends on nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

READ = """
import sys, ffn_video
(run,) = ffn_video.runs(sys.argv[1])
assert run.manifest.finished and run.verify().is_intact and len(run.metrics()) == run.manifest.steps
for row in run.results().rows():
    print(f"{run.name}: {row['frames']} frames, top-1 {row['top1_percent']} %, {row['clips']} clips")
"""


def main(wheel: Path) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        venv.create(place / "venv", with_pip=True)
        programs = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        environment = without_rust(programs)
        environment["FFN_DATA_MINIATURE"] = str(place / "data")
        environment["FFN_CONFIG"] = str(place / "none.ron")

        def call(*command: object) -> None:
            program = shutil.which(str(command[0]), path=environment["PATH"])
            assert program is not None, f"{command[0]} is not on the path"
            subprocess.run([program, *map(str, command[1:])], check=True, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)

        call("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", wheel.resolve())
        ffn = shutil.which("ffn", path=environment["PATH"])
        assert ffn is not None and Path(ffn).parent == programs, f"the wheel's `ffn` is not the first on the path, but {ffn}"
        call("ffn", "--version")
        call("ffn", "run", "fixtures/experiments/tiny.ron", "--out", place / "runs")
        call("python", "-c", READ, place / "runs")
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, installed, run and read in {time.monotonic() - started:.1f} s")


def without_rust(programs: Path) -> "dict[str, str]":
    """The environment with the programs of the virtual environment first, and no Rust on the path."""
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if shutil.which("cargo", path=folder) is None]
    path = os.pathsep.join([str(programs), *folders])
    assert shutil.which("cargo", path=path) is None and shutil.which("rustc", path=path) is None
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return {**kept, "PATH": path}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
