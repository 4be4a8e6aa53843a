"""`python -m benchmarks.gpu`, as far as it goes without a GPU."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import page
from benchmarks.gpu.phases import PHASES
from tests.settings import FILE
from tests.test_rendering import wait_for

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", *arguments]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With settings of its own."""
    shutil.copy(FILE, tmp_path / "params.yaml")
    return tmp_path


def test_each_phase_runs_at_a_small_scale(folder: Path) -> None:
    """With room: it takes less than a minute of a machine that does nothing else."""
    done = run(folder, "--minutes", "10", "--out", "gpu.md")
    text = (folder / "gpu.md").read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[3] for line in text.splitlines() if line.startswith("## ")] == sorted(PHASES)
    assert len(re.findall(r"It took \d+ s\.", text)) == len(PHASES)
    assert "Ended" not in text
    _, checks, _ = (part for part in re.split(r"^## b.*|^## c.*", text, flags=re.MULTILINE))
    verdicts = [line.split(" | ")[-1] for line in checks.splitlines() if line.startswith("| ")][2:]
    assert len(verdicts) >= 19
    assert set(verdicts) == {"yes |"}
    assert "| direct |" in text and "| sexp |" in text  # the heads of a result
    assert "numba" in text


def test_a_phase_is_ended_at_its_time(folder: Path) -> None:
    done = run(folder, "--minutes", "0.0001", "--only", "e", "--out", "gpu.md")
    assert done.returncode == 0, done.stderr
    assert "Ended when its 0 s were over.\n" in (folder / "gpu.md").read_text()


def test_nothing_is_left_behind(folder: Path) -> None:
    """Phase d starts processes of its own."""
    environment = ENVIRONMENT | {"TMPDIR": str(folder)}  # tells its processes from others
    with subprocess.Popen(
        command("--only", "d"), cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        assert program.stdout is not None
        while "| --- |" not in program.stdout.readline():
            pass
        assert len(running(folder)) > 2
        program.send_signal(signal.SIGTERM)
        program.stdout.read()
    wait_for(lambda: not running(folder))


def running(folder: Path) -> list[psutil.Process]:
    """The processes of a program whose temporary files are in this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "b,z", "--device", "cpu"], "no phase is 'z', allowed: a, b, c, f, d, e"),
        (["--minutes", "0", "--device", "cpu"], "--minutes is 0, allowed: more than 0"),
        (["--minutes", "inf", "--device", "cpu"], "--minutes is inf, allowed: more than 0, and less than a day"),
        (["--out", "/", "--device", "cpu"], "--out is '/', allowed: a file in a folder that exists"),
        (["--device", "cuda"], "torch finds no GPU here, allowed: --device cpu, for a dry run"),
    ],
)
def test_wrong_arguments_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.setattr(program.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as caught:
        program.main(arguments)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


class TestThePage:
    def write(self, folder: Path, title: str, *rows: str) -> page.Section:
        report = page.Report(folder / "rows.md")
        report.path.unlink(missing_ok=True)
        report.table("what", "value")
        for row in rows:
            report.row(row, "1")
        section = page.Section(title, "Some day.", report.path)
        page.replace(folder / "gpu.md", section)
        return section

    def test_sections_of_different_days_stand_in_order_and_a_new_one_replaces_its_old_one(self, tmp_path: Path) -> None:
        (tmp_path / "gpu.md").write_text((ROOT / "benchmarks/gpu.md").read_text())
        self.write(tmp_path, "c. Third", "old")
        self.write(tmp_path, "a. First", "kept")
        self.write(tmp_path, "c. Third", "new")
        assert (tmp_path / "gpu.md").read_text() == (
            f"{page.TITLE}\n\n"
            "## a. First\n\nSome day.\n\n| what | value |\n| --- | ---: |\n| kept | 1 |\n\n"
            "## c. Third\n\nSome day.\n\n| what | value |\n| --- | ---: |\n| new | 1 |\n"
        )

    def test_what_a_phase_found_is_in_the_file_at_once(self, tmp_path: Path) -> None:
        report = page.Report(tmp_path / "rows.md")
        report.say("First.")
        assert report.path.read_text() == "\nFirst.\n"


def test_wrong_settings_are_said_before_a_phase_begins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text("head: [")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program.trainings, "own_params", program.trainings.own_params.__wrapped__)  # not kept in memory
    assert program.main(["--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("params.yaml: ") and said.err.count("\n") == 1 and not said.out
