"""Work in other processes: all of it is done, also where processes die, and on a cluster as here."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from sphreg.config import Execution
from sphreg.errors import UserError
from sphreg.execution import Processes, workers
from sphreg.render import dataset
from tests.shapes import asymmetric, box
from tests.test_rendering import ROOT, SETTINGS, contents, wait_for, write_meshes
from tests.work import die_always, die_at_a_mesh, die_once, fail, hears_ctrl_c, read, square

MESHES = {f"chair_{n:04d}": ("chair", "train" if n else "test", box(1, 2, 3 + n)) for n in range(7)}


def test_each_task_is_done_by_another_process():
    results = dict(Processes(2).each(square, range(20), lambda number: (number,)))
    assert {number: result[0] for number, result in results.items()} == {number: number**2 for number in range(20)}
    processes = {process for _, process in results.values()}
    assert len(processes) <= 2
    assert os.getpid() not in processes


def test_arguments_are_made_when_they_are_needed():
    made, yielded = [], 0

    def arguments(number):
        made.append(number)
        assert len(made) <= yielded + 4
        return (number,)

    for _ in Processes(2).each(square, range(40), arguments):
        yielded += 1
    assert made == list(range(40))


def test_ctrl_c_is_the_parents_from_the_start():
    """Not once they have set a handler: they import for seconds before, and would tell where they were interrupted."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert [result for _, result in Processes(2).each(hears_ctrl_c, range(4), lambda _: (None,))] == [False] * 4
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_process_that_dies_costs_no_result(tmp_path):
    tasks = list(range(12))
    results = list(Processes(2).each(die_once, tasks, lambda number: (number, tmp_path / "marker")))
    assert sorted(task for task, _ in results) == tasks
    assert {result for task, result in results if task == 5} == {"survived"}
    assert all(task == result for task, result in results if task != 5)


def test_a_task_whose_process_dies_twice_is_named():
    done = []
    with pytest.raises(UserError, match=r"^3: the process that worked on it died twice, perhaps for want of memory\.$"):
        done.extend(task for task, _ in Processes(2).each(die_always, range(8), lambda number: (number,)))
    assert 3 not in done


def test_what_a_function_raises_is_raised_here():
    with pytest.raises(ValueError, match="7"):
        list(Processes(1).each(fail, [7], lambda number: (number,)))


def test_a_mesh_that_kills_its_process_is_named_and_the_finished_ones_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "render_mesh", die_at_a_mesh)
    meshes, scratch = write_meshes(tmp_path / "meshes", MESHES), tmp_path / "scratch"
    with pytest.raises(UserError, match=r"^mesh chair_0003: the process that worked on it died twice"):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, Execution(workers=1, scheduler=None), scratch)
    # The others before it; what came after it in the queue was not begun.
    finished = {path.stem for path in scratch.rglob("*.safetensors")}
    assert {"chair_0000", "chair_0001", "chair_0002"} & finished
    assert "chair_0003" not in finished


# A Dask cluster on loopback.


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a scheduler without workers."""
    with started(tmp_path_factory.mktemp("dask") / "scheduler.json") as (_, address):
        yield address


@contextmanager
def started(file):
    """The process of a scheduler, and its address, which it writes to a file."""
    command = "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    with dask(*command) as process:
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        yield process, json.loads(file.read_text())["address"]


class dask:
    """A command of Dask that runs for a while."""

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dask", *self.command],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self.process

    def __exit__(self, *error):
        family = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family[1:])
        self.process.wait()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_scheduler_that_ends_is_told_of(tmp_path):
    file = tmp_path / "scheduler.json"
    with (
        started(file) as (process, address),
        worker(address),
        workers(Execution(workers=None, scheduler=address)) as cluster,
    ):
        results = cluster.each(square, list(range(1000)), lambda number: (number,))
        next(results)
        process.kill()
        with pytest.raises(UserError, match="scheduler has ended or cannot be reached"):
            list(results)


def test_an_error_of_the_system_that_a_task_raises_is_its_own(scheduler):
    with (
        worker(scheduler),
        workers(Execution(workers=None, scheduler=scheduler)) as cluster,
        pytest.raises(FileNotFoundError, match="nowhere"),
    ):
        list(cluster.each(read, ["nowhere"], lambda name: (name,)))


def worker(address, threads=1, nanny=False):
    """With a nanny it is a second process, which is started again when it dies."""
    how = "--nworkers", "1", "--nthreads", str(threads), "--nanny" if nanny else "--no-nanny"
    return dask("worker", address, *how, "--no-dashboard", "--host", "127.0.0.1")


def test_two_workers_of_a_cluster_make_the_same_bytes(scheduler, tmp_path):
    meshes = write_meshes(tmp_path / "meshes", MESHES | {"sofa_0001": ("sofa", "train", asymmetric())})
    with worker(scheduler), worker(scheduler):
        there = Execution(workers=None, scheduler=scheduler)
        with workers(there) as cluster:
            while cluster.size() < 2:
                time.sleep(0.1)
            both = {process for _, (_, process) in cluster.each(square, list(range(40)), lambda number: (number,))}
            assert len(both) == 2
        dataset.render_dataset(meshes, tmp_path / "there", SETTINGS, there, tmp_path / "scratch")
    here = Execution(workers=2, scheduler=None)
    dataset.render_dataset(meshes, tmp_path / "here", SETTINGS, here, tmp_path / "scratch")
    assert len(contents(tmp_path / "here")) == len(MESHES) + 3
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_worker_of_the_cluster_that_dies_costs_no_result(scheduler, tmp_path):
    there = Execution(workers=None, scheduler=scheduler)
    with worker(scheduler, nanny=True), worker(scheduler, nanny=True), workers(there) as cluster:
        results = list(cluster.each(die_once, list(range(12)), lambda number: (number, tmp_path / "marker")))
        assert sorted(task for task, _ in results) == list(range(12))
        # Dask blames what waited for the same worker, too, if that dies often enough.
        with pytest.raises(UserError, match=r"^\d: the workers that worked on it died, perhaps for want of memory"):
            list(cluster.each(die_always, list(range(8)), lambda number: (number,)))


def test_a_worker_with_several_threads_is_refused(scheduler):
    there = Execution(workers=None, scheduler=scheduler)
    sentence = r"this worker has 2 threads, allowed: 1 \(dask worker --nthreads 1\)"
    with worker(scheduler, threads=2), workers(there) as cluster, pytest.raises(UserError, match=sentence):
        list(cluster.each(square, [1], lambda number: (number,)))


@pytest.fixture
def collected():
    """A client without a scheduler ends when it is collected; while another one starts, both wait for ever."""
    yield
    gc.collect()


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1"])
def test_a_scheduler_that_is_not_there_is_named(address, monkeypatch):
    monkeypatch.setattr("sphreg.execution.WAIT_S", 1)
    sentence = f"execution.scheduler is '{address}', where no Dask scheduler answers"
    with pytest.raises(UserError, match=sentence), workers(Execution(workers=None, scheduler=address)):
        pass


def test_a_cluster_without_workers_is_told_of(scheduler, monkeypatch):
    monkeypatch.setattr("sphreg.execution.WAIT_S", 1)
    sentence = f"execution.scheduler is '{scheduler}', which has no worker"
    with pytest.raises(UserError, match=sentence), workers(Execution(workers=None, scheduler=scheduler)):
        pass
