"""One process at a time, however many want to work and however they end."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep

import pytest

from sphreg.errors import UserError
from sphreg.locks import alone, wanted

HOLD = """
import sys, time
from pathlib import Path
from sphreg.locks import alone
with alone(Path(sys.argv[1])):
    print("alone", flush=True)
    time.sleep(600)
"""


def test_of_many_one_works_at_a_time(tmp_path, capfd):
    working, most, done = [], [], []

    def work(number):
        with alone(tmp_path / "new/work") as free:
            assert free
            working.append(number)
            most.append(len(working))
            sleep(0.01)
            working.remove(number)
        done.append(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert sorted(done) == list(range(8))
    assert set(most) == {1}
    assert list((tmp_path / "new").iterdir()) == []
    said = capfd.readouterr().err.splitlines()
    assert set(said) <= {f"{tmp_path}/new/work: another process works on it; waiting for its end."}


def test_who_waits_is_seen_and_says_so_once(tmp_path, capfd):
    begun = Event()

    def later():
        begun.set()
        with alone(tmp_path / "work"):
            assert not wanted(tmp_path / "work")

    with ThreadPoolExecutor() as threads:
        with alone(tmp_path / "work"):
            assert not wanted(tmp_path / "work")
            second = threads.submit(later)
            begun.wait()
            while not wanted(tmp_path / "work"):
                assert not second.done()
        second.result()
    assert capfd.readouterr().err.count("another process works on it") == 1
    assert list(tmp_path.iterdir()) == []


def test_who_does_not_want_to_wait_is_told(tmp_path):
    with alone(tmp_path / "work"), alone(tmp_path / "work", wait=False) as free:
        assert not free
    with alone(tmp_path / "work", wait=False) as free:
        assert free


def test_an_exception_ends_it(tmp_path):
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "work"):
        1 / 0  # noqa: B018
    with alone(tmp_path / "work", wait=False) as free:
        assert free


def test_a_killed_process_is_not_waited_for(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "work")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "alone\n"
        with alone(tmp_path / "work", wait=False) as free:
            assert not free
        process.kill()
    with alone(tmp_path / "work", wait=False) as free:
        assert free
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/work: it cannot be written \("), alone(tmp_path / "file/work"):
        pass
