"""A suite's folder: its members and its verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

from . import _documents as documents
from . import _manifest as manifest
from ._errors import DamagedError, NotFoundError, shown
from ._files import Folder, PathLike
from ._run import Run
from ._table import Table
from ._verify import Checks, Report

SUITE = "suite.ron"
RECORD = "suite.json"
VERDICTS = "verdicts.json"
_SEED = "seed"
_VERDICTS = {
    "id": "str",
    "sentence": "str",
    "source": "str",
    "verdict": "str",
    "reason": "str",
    "value": "float",
    "low": "float",
    "high": "float",
    "level": "float",
    "relation": "str",
    "expected": "float",
    "tolerance": "float",
    "unit": "str",
    "clips": "int",
    "seeds": "int",
    "runs": "[str]",
}


class Suite:
    """The folder of a suite, beside which its runs are.

    >>> suite = Suite("runs/suite")
    >>> suite.name
    'tiny_suite'
    """

    def __init__(self, path: PathLike) -> None:
        self._folder = Folder(path)
        if not self._folder.has(RECORD):
            raise NotFoundError(f"`{shown(self.path)}` is not the folder of a suite: it has no {RECORD}")

    def __repr__(self) -> str:
        return f"Suite({str(self.path)!r})"

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def name(self) -> str:
        return self._record().text("name")

    @property
    def text(self) -> str:
        """The suite itself, as RON. Its SHA-256 must be the identity that `suite.json` gives.

        >>> "claims:" in Suite("runs/suite").text
        True
        """
        content = Folder(self.path, {SUITE: self._record().text("identity")}).read(SUITE)
        return content.decode("utf-8")

    def members(self) -> Table:
        """Each member at each seed: the name of its run, its identity, and what the grid chose, a column for each field.

        >>> Suite("runs/suite").members().columns
        ('member', 'run', 'identity', 'seed', 'train.epochs')
        """
        members = self._members()
        fields = sorted({name for *_, variant in members for name in variant} - {_SEED})
        types = {"member": "str", "run": "str", "identity": "str", "seed": "int", **{name: "str" for name in fields}}
        return Table(
            types,
            (
                (member, run, identity, _seed(variant, self.path), *map(variant.get, fields))
                for member, run, identity, variant in members
            ),
        )

    def runs(self) -> List[Run]:
        """The runs of the members that are there, each once, which must be of the experiments that the suite says.

        >>> len(Suite("runs/suite").runs())
        6
        """
        there: Dict[str, Run] = {}
        for _, name, identity, _ in self._members():
            place = self._beside()
            if not place.has(name) or not place.below(name).has(manifest.NAME):
                continue
            run = Run(place.path / name)
            _check_identity(run, identity)
            there[name] = run
        return list(there.values())

    def verdicts(self) -> Table:
        """Each claim, what was measured with its confidence interval, and the verdict: `pass`, `fail` or `inconclusive`.

        >>> Suite("runs/suite").verdicts()["verdict"]
        ['pass', 'pass', 'pass']
        """
        return Table(_VERDICTS, map(_verdict, self._verdicts()))

    def verify(self) -> Report:
        """Recomputes the hashes of the suite, of its runs and of the predictions that its verdicts were read from.

        That the verdicts follow from the predictions is not computed again: `ffn verify SUITE` does that.

        >>> Suite("runs/suite").verify().is_intact
        True
        """
        checks = Checks()
        checks.note(lambda: self.text)
        checks.note(self._check_members)
        checks.note(self._check_evidence)
        for run in checks.note(self.runs) or []:
            report = run.verify()
            checks.checked += report.checked
            checks.problems.extend(report.problems)
        unlisted = [name for name in self._folder.all_files() if name not in (SUITE, RECORD, VERDICTS, "lock")]
        return checks.report(unlisted)

    def _check_members(self) -> None:
        there = {run.name for run in self.runs()}
        missing = sorted({run for _, run, _, _ in self._members()} - there)
        if missing:
            raise NotFoundError(f"{shown(self.path)}: runs are missing: {', '.join(map(shown, missing))}")

    def _check_evidence(self) -> None:
        for fields in self._verdicts():
            for name, expected in fields.hashes("evidence").items():
                self._beside().check(name, expected)

    def _beside(self) -> Folder:
        """The folder that holds the suite's folder and its runs."""
        return Folder(self.path.parent if self.path.name else self.path / "..")

    def _record(self) -> documents.Fields:
        return documents.sealed(self._folder, RECORD)

    def _members(self) -> List[Tuple[str, str, str, Dict[str, str]]]:
        record = self._record()
        where = f"{record.where}: `members`"
        members = [documents.Fields(value, where) for value in record.list("members")]
        return [(m.text("name"), _folder_name(m), m.text("identity"), m.hashes("variant")) for m in members]

    def _verdicts(self) -> List[documents.Fields]:
        path = self.path / VERDICTS
        if not self._folder.has(VERDICTS):
            raise NotFoundError(f"`{shown(path)}` is missing", "`ffn run` with the suite's file judges its claims")
        value = documents.value(self._folder, VERDICTS)
        if not isinstance(value, list):
            raise DamagedError(f"{documents.place(path)} is damaged: it is no list of verdicts")
        return [documents.Fields(entry, documents.place(path)) for entry in value]


def _folder_name(member: documents.Fields) -> str:
    name = member.text("run")
    if "/" in name or name in ("", ".", ".."):
        raise DamagedError(f"{member.where}: `{shown(name)}` is no name of a run beside the suite")
    return name


def _seed(variant: Dict[str, str], path: Path) -> int:
    try:
        return int(variant[_SEED])
    except (KeyError, ValueError) as error:
        raise DamagedError(f"{documents.place(path / RECORD)} is damaged: a member has no seed") from error


def _check_identity(run: Run, expected: str) -> None:
    found = run.manifest.identity
    if found != expected:
        what = f"`{shown(run.path)}` is of another experiment than the suite says"
        raise DamagedError(f"{what}\n  expected {shown(expected)}\n  found    {found}")


def _verdict(fields: documents.Fields) -> Tuple[Any, ...]:
    interval = fields.list("interval") if fields.raw.get("interval") is not None else [None, None]
    if len(interval) != 2:
        raise DamagedError(f"{fields.where}: `interval`\n  expected two numbers\n  found    {len(interval)}")
    low, high = (None if end is None else documents.as_number(end, f"{fields.where}: `interval`") for end in interval)
    expected = fields.fields("expected")
    runs = [documents.as_text(run, f"{fields.where}: `runs`") for run in fields.list("runs")]
    return (
        fields.text("id"),
        fields.text("sentence"),
        fields.optional_text("source"),
        fields.text("verdict"),
        fields.optional_text("reason"),
        fields.optional_number("value"),
        low,
        high,
        fields.number("level"),
        expected.text("relation"),
        expected.number("value"),
        expected.optional_number("tolerance"),
        fields.text("unit"),
        fields.whole("clips"),
        fields.whole("seeds"),
        runs,
    )
