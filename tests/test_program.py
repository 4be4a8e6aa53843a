"""How programs end."""

import sys
from subprocess import PIPE, Popen, run

import pytest

from sphreg.errors import UserError
from sphreg.program import program

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
