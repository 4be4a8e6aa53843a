"""The images on their way to the device: in which order, decoded by whom, kept where."""

import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from tqdm import tqdm

from sphreg.errors import UserError
from sphreg.samples import Batch, Samples

CHUNK = 256  # images that are decoded at once to be kept
MORE = "more shared memory (/dev/shm; docker run --shm-size=1g)"
MOST = 8  # processes that decode for one device, where the settings do not say


class Shuffled(BatchSampler):
    """The rows of each batch of a training, or of the rest of one: all epochs, one after the other.

    An epoch sees each image at most once, in an order that follows from the seed and the epoch alone. A rest that does
    not fill a batch waits for another epoch.

    Args:
        images: how many there are.
        batch_size: how many make a batch.
        seed: of the order.
        steps: which batches, counted from the first one of the training.
    """

    def __init__(self, images: int, batch_size: int, seed: int, steps: range):
        self.images, self.batch_size, self.seed, self.steps = images, batch_size, seed, steps
        self.drop_last = True

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        order = None
        for step in self.steps:
            epoch, place = divmod(step, self.images // self.batch_size)
            if order is None or place == 0:
                order = np.random.default_rng([self.seed, epoch]).permutation(self.images)
            yield order[place * self.batch_size :][: self.batch_size].tolist()


def in_order(images: int, batch_size: int) -> BatchSampler:
    """All rows, one after the other; the last batch may be smaller."""
    return BatchSampler(SequentialSampler(range(images)), batch_size, drop_last=False)


def loader(samples: Samples, rows: BatchSampler, accelerator: Accelerator, processes: int = 0) -> Iterator[Batch]:
    """The batches of these rows on the device; of several processes that train together, this one's part of each.

    Args:
        samples: where the rows are.
        rows: of each batch.
        accelerator: says what the device is.
        processes: that decode, ahead of time; 0: this one.

    Raises:
        UserError: an image is damaged, or the processes cannot be started. One that dies later is a RuntimeError: see
            `lost`.
    """
    pin = (accelerator.device.type, samples.device.type) == ("cuda", "cpu")
    batches = _sentences(accelerator.prepare(_batches(samples, rows, processes, pin)), processes)
    yield from _copied_beside(batches, accelerator.device) if pin else batches


def _batches(samples: Samples, rows: BatchSampler, processes: int, pin: bool = False) -> "DataLoader[Batch]":
    generator = torch.Generator()  # the global one is left alone
    return DataLoader(
        samples,
        batch_sampler=rows,
        num_workers=processes,
        collate_fn=_sent if processes else _same,
        worker_init_fn=_leave_quietly,
        pin_memory=pin,
        generator=generator,
    )


def _leave_quietly(_: int) -> None:
    """Ctrl-C reaches all processes of a terminal: the one that trains ends those that decode for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _but_of_connections  # their threads may be handing something over to it


def _but_of_connections(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, ConnectionError):
        sys.__excepthook__(kind, error, trace)


def _sentences(batches: Iterable[Batch], processes: int) -> Iterator[Batch]:
    """The same. An error in a process that decodes comes with its traceback; what a user can mend is the last line."""
    if processes:
        _check_shared_memory(processes)
    try:
        yield from batches
    except UserError as error:
        name = f"{UserError.__module__}.{UserError.__qualname__}: "
        raise UserError(str(error).splitlines()[-1].removeprefix(name)) from None
    except (OSError, EOFError) as error:
        if not processes:
            raise
        raise _lost(error, processes) from error


def _check_shared_memory(processes: int) -> None:
    """Before DataLoader makes its queues: one that it cannot finish complains once more when it is deleted."""
    try:
        multiprocessing.Lock()
    except OSError as error:
        what = f"train.loaders is {processes}, and processes that decode cannot be started ({error.strerror or error})"
        raise UserError(f"{what}; allowed: 0, or {MORE}.") from error


def lost(error: Exception, processes: int) -> UserError | None:
    """A sentence, if this is what torch raises in the middle of whatever is done when a process that decodes dies.

    Args:
        error: that was raised.
        processes: that decode.
    """
    return _lost(error, processes) if str(error).startswith(("DataLoader worker", "Pin memory thread")) else None


def _lost(error: Exception, processes: int) -> UserError:
    reason = str(error).strip().rstrip(".") or type(error).__name__
    return UserError(
        f"A process that decodes images was lost, as it is where memory is short ({reason}); train.loaders is "
        f"{processes}, allowed: fewer, or 0."
    )


def _copied_beside(batches: Iterator[Batch], gpu: torch.device) -> Iterator[Batch]:
    """The same. They are copied to the GPU on a stream of their own, beside the steps before."""
    copies = torch.cuda.Stream(gpu)
    while True:
        with torch.cuda.stream(copies):
            batch = next(batches, None)
        if batch is None:
            return
        steps = torch.cuda.current_stream(gpu)
        steps.wait_stream(copies)
        for value in batch.tensors():
            value.record_stream(steps)  # or the next copy might be given its memory while it is still read
        yield batch


def _same(batch: Any) -> Any:
    return batch  # which `Samples` made at once


def _sent(batch: Any) -> Any:
    """A batch on its way to another process, in shared memory where there is room for it.

    DataLoader would find out that there is none in a thread, and wait for ever.
    """
    try:
        for value in batch.tensors():
            value.share_memory_()
    except RuntimeError:
        return _Piped(batch)
    return batch


class _Piped:
    """Is a batch again where it is unpickled, and needs no shared memory on its way."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __reduce__(self) -> tuple[Callable[..., Batch], tuple[np.ndarray, ...]]:
        return _unpickled, tuple(value.numpy() for value in self.batch.tensors())


def _unpickled(*values: np.ndarray) -> Batch:
    _warn()
    return Batch(*map(torch.from_numpy, values))


@functools.cache
def _warn() -> None:
    said = f"Shared memory is full, so decoded images take a slower way; a faster one needs {MORE}."
    print(said, file=sys.stderr, flush=True)


def processes(wanted: int | None, accelerator: Accelerator) -> int:
    """How many processes decode for this one: as the settings say, or a fair share of the cores that it leaves idle."""
    if wanted is not None:
        return wanted
    if accelerator.device.type == "cpu":
        return 0
    return min(MOST, max(1, (os.cpu_count() or 1) // local_processes()))


def local_processes() -> int:
    """How many processes train together on this machine, as their launcher says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def kept(
    parts: Sequence[Samples], where: Literal["ram", "device"], accelerator: Accelerator, processes: int
) -> list[Samples]:
    """The same samples, all decoded and kept in memory.

    Raises:
        UserError: there is not enough of it; before anything is decoded.
    """
    device = accelerator.device if where == "device" else torch.device("cpu")
    one = next(part[[0]] for part in parts if len(part))
    images = sum(map(len, parts))
    needed = images * sum(value.nbytes for value in one.tensors())
    if device.type == "cpu":
        needed *= local_processes()
        free = psutil.virtual_memory().available
    else:
        free, _ = torch.cuda.mem_get_info(device)
    if needed > free:
        height, width = one.images.shape[-2:]
        what = f"{needed / 1e9:.1f} GB for {images:,} images of {height} x {width} pixels"
        raise UserError(
            f"train.cache is {where!r}, which needs {what}, and {free / 1e9:.1f} GB are free; allowed: none, "
            "ram or device where there is enough of it."
        )
    return [_kept(part, one, device, processes) for part in parts]


def _kept(samples: Samples, one: Batch, device: torch.device, processes: int) -> Samples:
    """See `kept`. `one` is a batch that shows shapes and types."""
    everything = Batch(
        *(torch.empty((len(samples), *v.shape[1:]), dtype=v.dtype, device=device) for v in one.tensors())
    )
    chunks = _batches(samples, in_order(len(samples), CHUNK), processes)
    start = 0
    for chunk in tqdm(_sentences(chunks, processes), "decode", len(chunks), unit="batch", leave=False, disable=None):
        for whole, part in zip(everything.tensors(), chunk.tensors(), strict=True):
            whole[start : start + len(part)].copy_(part, non_blocking=True)
        start += len(chunk.images)
    return samples.kept(everything)
