"""`python -m benchmarks.faults` at a small scale, and that it finds faults where there are some."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults import __main__ as program
from benchmarks.faults import fuzz, inputs, kills, page
from benchmarks.faults.children import Ended
from benchmarks.faults.damage import ANY, OF_KIND, damage, damages
from benchmarks.faults.findings import GOOD, Finding, Outcome, judge
from benchmarks.faults.project import Program
from sphreg.errors import UserError

# Nothing runs in another thread of the tests when they fork.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
ROOT = Path(__file__).parents[1]
TRACEBACK = "Traceback (most recent call last):\n  ...\nValueError: no\n"


def test_a_little_of_each_part(tmp_path: Path) -> None:
    """In seconds; how many cases there are depends on the machine."""
    out, kept = tmp_path / "faults.md", tmp_path / "kept"
    cases = ["meshes:hand:SIG[KT]*", "two meshes:*", "meshes, archive:*", "off"]
    command = [sys.executable, "-m", "benchmarks.faults", "--minutes", "0.01", "--out", str(out), "--kept", str(kept)]
    done = subprocess.run([*command, "--case", *cases], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = out.read_text()
    groups = {line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")}
    assert {"two meshes", "meshes, archive", "off"} < groups and any(group.startswith("by hand") for group in groups)
    assert "Faults" not in text and not kept.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "fuzz", "--case", "nothing"], "--case is nothing, allowed: names of cases in fuzz"),
        (["--only", "fuzz,all"], "no part is 'all', allowed: kills, pairs, inputs, fuzz"),
        (["--minutes", "0"], "--minutes is 0, allowed: more than 0"),
    ],
)
def test_wrong_arguments_are_named(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(arguments)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ended", "same", "outcome"),
    [
        (Ended(0, "done"), True, Outcome.SAME),
        (Ended(0, "done"), False, Outcome.SILENT),
        (Ended(1, "a.csv: it has no row.\n"), False, Outcome.SENTENCE),
        (Ended(1, ""), False, Outcome.TRACEBACK),
        (Ended(1, TRACEBACK), False, Outcome.TRACEBACK),
        (Ended(0, TRACEBACK), True, Outcome.TRACEBACK),
        (Ended(2, "usage"), False, Outcome.TRACEBACK),
        (Ended(-signal.SIGBUS, ""), True, Outcome.CRASH),
        (Ended(None, ""), True, Outcome.HANG),
    ],
)
def test_how_an_end_is_judged(ended: Ended, same: bool, outcome: Outcome) -> None:
    assert judge(ended, same)[0] is outcome


@pytest.fixture
def tool(tmp_path: Path) -> Program:
    """A program of Python's own, which reads a JSON file, and prints its error where that is none."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "in.json").write_text(json.dumps({"views": 12}))
    return Program("tool", root, "json.tool", ("in.json", "out.json"), ("in.json",), ("out.json",), ())


@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("swapped_near", Outcome.SAME),  # there is no other file, so it stays
        ("emptied", Outcome.SENTENCE),
        ("half", Outcome.SENTENCE),
        ("value_huge", Outcome.SILENT),
        ("missing", Outcome.TRACEBACK),  # status 2
        ("folder", Outcome.TRACEBACK),
    ],
)
def test_what_becomes_of_a_broken_input(tool: Program, tmp_path: Path, way: str, outcome: Outcome) -> None:
    (case,) = (case for case in inputs.cases([tool]) if case.damage == way)
    (finding,) = inputs.run(case, 0, tmp_path)
    assert finding.outcome is outcome
    assert finding.case == f"tool:in.json:{way}"
    assert json.loads((tool.root / "in.json").read_text()) == {"views": 12}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_damage_is_the_same_each_time_and_leaves_other_names_of_the_file_alone(tmp_path: Path, suffix: str) -> None:
    sound = {".csv": b"key,w,x\na,0.5,1\nb,0.25,2\nc,0.125,3\n", ".json": b'{"a": 1, "b": {"c": [2.5, "d"]}}'}[suffix]
    for way in set(damages(f"a{suffix}")) & (ANY | OF_KIND[suffix]).keys():
        found = set()
        for name in f"first{suffix}", f"second{suffix}":
            path = tmp_path / name
            path.unlink(missing_ok=True)
            (tmp_path / "sound").write_bytes(sound)
            os.link(tmp_path / "sound", path)
            damage(path, way, np.random.default_rng(3), [], [])
            found.add(path.read_bytes())
            assert (tmp_path / "sound").read_bytes() == sound
        assert len(found) == 1 and found != {sound}, way


def wait(path: Path) -> None:
    time.sleep(60)


def crash(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill(path: Path) -> int:
    try:
        return len(bytearray(2**31))
    except MemoryError:
        raise UserError("a sentence, though it asked for too much") from None


def refuse(path: Path) -> None:
    raise UserError("no")


def fail(path: Path) -> None:
    raise KeyError("no")


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (wait, Outcome.HANG),
        (crash, Outcome.CRASH),
        (fill, Outcome.MEMORY),
        (fail, Outcome.TRACEBACK),
        (refuse, Outcome.SENTENCE),
        (Path.read_bytes, Outcome.ALLOWED),
    ],
)
def test_what_a_reader_does_with_a_changed_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: Callable[[Path], Any], outcome: Outcome
) -> None:
    def careful(path: Path) -> Any:
        return read(path) if path.read_bytes() != b"sound" else None

    monkeypatch.setattr(fuzz, "SECONDS", 1)
    monkeypatch.setitem(fuzz.READERS, "planted", fuzz.Reader(lambda folder: [b"sound"], "file", careful))
    findings = fuzz.run("planted", 0, 600, tmp_path / "kept", only=7)
    assert [finding.outcome for finding in findings] == [outcome]
    kept = [path.read_bytes() for path in tmp_path.glob("kept/*")]
    assert len(kept) == (outcome not in GOOD) and b"sound" not in kept


def test_a_fault_is_told_with_the_command_that_repeats_it() -> None:
    bad = Finding("inputs", "pack", "pack:*.off:cut", Outcome.SILENT, "a.off: other bytes")
    good = Finding("fuzz", "off", "off", Outcome.SENTENCE, count=1234)
    text = page.page([bad, good], ["python", "-m", "benchmarks.faults", "--seed", "3"], 3)
    assert re.search(r"^\| pack \| 1 \| 0 \| 0 \| 0 \| 1 \|", text, re.MULTILINE)
    assert re.search(r"^\| off \| 1,234 \| 0 \| 1,234 \|", text, re.MULTILINE)
    assert "`uv run python -m benchmarks.faults --only inputs --case 'pack:*.off:cut' --seed 3`: a.off: other" in text
    assert page.faulty([bad, good]) == [bad]


def test_kills_meet_each_stage_with_each_signal_in_the_first_round(tool: Program) -> None:
    found = [case for case in kills.cases([tool], 0) if case.number == 0 and not case.by_dvc]
    assert {case.signal for case in found} == set(kills.SIGNALS) and len(found) == len(kills.SIGNALS)
