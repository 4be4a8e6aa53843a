"""Where independent pieces of work are done: in processes of this machine, or on a Dask cluster."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, runtime_checkable

from sphreg.config import Execution
from sphreg.errors import UserError

Task = TypeVar("Task")
WAIT_S = 60  # for the first worker of a cluster


@runtime_checkable
class Workers(Protocol):
    """Calls functions that can be imported, with arguments that can be pickled, somewhere else."""

    def once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns where the work is done."""

    def each(
        self, function: Callable[..., Any], tasks: Sequence[Task], arguments: Callable[[Task], Sequence[Any]]
    ) -> Iterator[tuple[Task, Any]]:
        """Call `function(*arguments(task))` for each task, and yield each task with its result as soon as it is there.

        The arguments are made when a worker is about to need them, so their number does not matter to the memory.

        Raises:
            UserError: the process that worked on a task died, and so did the next one.
            Exception: what the function raises.
        """


@contextmanager
def workers(settings: Execution) -> Iterator[Workers]:
    """What the section `execution` asks for.

    Raises:
        UserError: there is no such cluster, or it is not set up for this.
    """
    if settings.scheduler is None:
        cores = getattr(os, "process_cpu_count", os.cpu_count)() or 1  # the first is new in Python 3.13
        yield Processes(settings.workers or cores)
    else:
        with _connect(settings.scheduler) as cluster:
            yield cluster


class Processes:
    """Processes of this machine."""

    def __init__(self, number: int) -> None:
        self.number = number

    def once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """See `Workers`."""
        return function(*arguments)

    def each(
        self, function: Callable[..., Any], tasks: Sequence[Task], arguments: Callable[[Task], Sequence[Any]]
    ) -> Iterator[tuple[Task, Any]]:
        """See `Workers`."""

        def attempt(waiting: deque[Task], number: int) -> Generator[tuple[Task, Any], None, list[Task]]:
            # An OpenGL context hangs after a fork.
            pool = _Pool(number, multiprocessing.get_context("spawn"), _start)
            try:
                return (yield from _drain(pool, lambda: 2 * number, function, waiting, arguments, BrokenExecutor))
            finally:
                pool.shutdown(cancel_futures=True)

        waiting = deque(tasks)
        while waiting:
            # A process that dies takes its pool along, and no one knows which of the tasks in flight was its own.
            for suspect in (yield from attempt(waiting, self.number)):
                if (yield from attempt(deque([suspect]), 1)):
                    raise UserError(f"{suspect}: the process that worked on it died twice, perhaps for want of memory.")


class _Pool(ProcessPoolExecutor):
    """Ctrl-C reaches all processes of a terminal, and is the parent's to handle: others do not see it from the start.

    To ignore it once they run is too late, as they import for seconds before.
    """

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a process, if there is none that waits, and give it work."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(*args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Cluster:
    """The workers of a Dask cluster. Each has one thread, so that what a process keeps is never used by two."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """See `Workers`."""
        return self.client.submit(function, *arguments, pure=False).result()

    def each(
        self, function: Callable[..., Any], tasks: Sequence[Task], arguments: Callable[[Task], Sequence[Any]]
    ) -> Iterator[tuple[Task, Any]]:
        """See `Workers`. How often a task is tried again is a setting of the scheduler, `allowed-failures`."""
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        executor = self.client.get_executor(pure=False)
        try:
            lost = yield from _drain(executor, lambda: 2 * self.size(), function, deque(tasks), arguments, KilledWorker)
        except (CancelledError, OSError) as error:
            of_dask = isinstance(error, CancelledError | CommClosedError) or self.client.status != "running"
            if not of_dask:  # what the function raises
                raise
            raise UserError(
                "The Dask scheduler has ended or cannot be reached any more; what is done is kept."
            ) from None
        if lost:
            raise UserError(f"{lost[0]}: the workers that worked on it died, perhaps for want of memory.")

    def size(self) -> int:
        """The number of workers, which may change.

        Raises:
            UserError: one of them has several threads.
        """
        threads = self.client.nthreads()
        for worker, number in threads.items():
            if number != 1:
                raise UserError(f"{worker}: this worker has {number} threads, allowed: 1 (dask worker --nthreads 1).")
        return len(threads)


def _drain(
    executor: Executor,
    limit: Callable[[], int],
    function: Callable[..., Any],
    waiting: deque[Task],
    arguments: Callable[[Task], Sequence[Any]],
    death: type[Exception],
) -> Generator[tuple[Task, Any], None, list[Task]]:
    """Empty `waiting`, with at most `limit` tasks in flight. After a death no more are begun; the lost are returned."""
    running: dict[Future[Any], Task] = {}
    lost: list[Task] = []
    while running or (waiting and not lost):
        while waiting and not lost and len(running) < limit():
            task = waiting.popleft()
            try:
                running[executor.submit(function, *arguments(task))] = task
            except death:
                lost.append(task)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            try:
                result = future.result()
            except death:
                lost.append(task)
            else:
                yield task, result
    return lost


def _start() -> None:
    """In a new process of a pool."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """The pool's processes would wait for work for ever if their parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


@contextmanager
def _connect(address: str) -> Iterator[Cluster]:
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise UserError("execution.scheduler needs the package distributed: install sphreg[dask].") from None
    try:
        client = Client(address, timeout=WAIT_S)
    except (OSError, ValueError) as error:
        raise UserError(f"execution.scheduler is {address!r}, where no Dask scheduler answers ({error}).") from None
    # A large mesh is no reason for a warning.
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"}):
        try:
            client.wait_for_workers(1, timeout=WAIT_S)
        except TimeoutError:
            raise UserError(f"execution.scheduler is {address!r}, which has no worker: dask worker {address}") from None
        yield Cluster(client)
