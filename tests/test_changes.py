"""Neither a kill at any change of a file nor a second process at the same time spoils meshes and shards."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_kills_and_two_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.changes", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
