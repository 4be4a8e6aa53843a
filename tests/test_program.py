"""How programs end."""

import subprocess
import sys

import pytest

from sphreg.errors import UserError
from sphreg.program import program


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

    def test_a_reader_that_has_enough(self):
        code = (
            "import sys; from sphreg.program import program\n"
            "@program\ndef main():\n    for _ in range(100_000):\n        print('a line', flush=True)\n"
            "sys.exit(main())"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 1
