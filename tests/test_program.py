"""How programs end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE, Popen, run

import pytest

import stages
from sphreg.errors import UserError
from sphreg.program import program
from stages import check

ROOT = Path(__file__).parents[1]

PRINTS = """
import sys
from sphreg.program import program
@program
def main():
    sys.stdin.readline()
    for _ in range({}):
        print("a line")
sys.exit(main())
"""


def ending(error):
    @program
    def main(argv):
        if error is not None:
            raise error

    return main([])


class TestTheStatus:
    @pytest.mark.parametrize(
        ("error", "status", "said"),
        [
            (None, 0, ""),
            (UserError("It is wrong."), 1, "It is wrong.\n"),
            (UserError("a\x1b[31m\udcff\nb\0"), 1, "a\\x1b[31m\\udcff\nb\\x00\n"),
            (KeyboardInterrupt(), 130, "Interrupted.\n"),
            (OSError(28, "No space left on device", "a/b.csv"), 1, "a/b.csv: No space left on device.\n"),
        ],
    )
    def test_what_ends_it(self, capsys, error, status, said):
        assert ending(error) == status
        assert capsys.readouterr().err == said

    def test_a_fault_of_the_program_keeps_its_traceback(self):
        for error in ZeroDivisionError(), OSError("no file"):
            with pytest.raises(type(error)):
                ending(error)

    @pytest.mark.parametrize("lines", [1, 100_000])
    def test_a_reader_that_has_enough(self, lines):
        with Popen([sys.executable, "-c", PRINTS.format(lines)], stdout=PIPE, stderr=PIPE, stdin=PIPE) as process:
            process.stdout.close()
            assert process.communicate(b"\n")[1] == b""
        assert process.returncode == 1

    @pytest.mark.parametrize("lines", [1, 100_000])
    def test_an_output_to_a_full_disk(self, lines):
        with open("/dev/full", "wb") as full:
            process = run([sys.executable, "-c", PRINTS.format(lines)], stdout=full, stderr=PIPE, input=b"\n")
        assert (process.returncode, process.stderr) == (1, b"the output: No space left on device.\n")


@pytest.mark.parametrize(
    "module",
    ["stages.check", "stages.evaluate", "sphreg.compare", "sphreg.predict", "sphreg.views", "benchmarks.gpu"],
)
def test_ctrl_c_while_modules_are_imported(tmp_path, module):
    (tmp_path / "pydantic.py").write_text("raise KeyboardInterrupt")
    shutil.copy(tmp_path / "pydantic.py", tmp_path / "numpy.py")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ended = subprocess.run(
        [sys.executable, "-m", module], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")


def test_an_import_of_the_library_changes_no_hook():
    code = "import sys; hook = sys.excepthook; import sphreg; assert sys.excepthook is hook"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("content", [None, b"", b"head: [", b"head: sexp\n", b"\xff"])
def test_a_stage_without_its_settings(tmp_path, monkeypatch, capsys, content):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["check"])
    if content is not None:
        (tmp_path / "params.yaml").write_bytes(content)
    assert stages.run(check.main) == 1
    assert capsys.readouterr().err.startswith("params.yaml: ")
