"""The way of the images to the device: their order, who decodes them, and where they are kept."""

import errno
import re
import resource
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import psutil
import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import get_worker_info

import sphreg.loading
from sphreg.devices import accelerator
from sphreg.errors import UserError
from sphreg.loading import Shuffled, _batches, in_order, kept, loader
from sphreg.render.camera import decode_normals
from sphreg.samples import Batch, Samples, normals
from sphreg.views import Views
from tests.datasets import samples_of


@pytest.fixture(scope="module")
def hardware() -> Accelerator:
    return accelerator("cpu")


def equal(one: Batch, other: Batch) -> bool:
    pairs = list(zip(one.tensors(), other.tensors(), strict=True))
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def cramped(samples: Samples, rows: list[int]) -> Batch:
    """The batch, after which this process may make no file of more than 1,000 bytes: shared memory is files, too."""
    batch = samples[rows]
    assert get_worker_info() is not None
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    return batch


class TestShuffled:
    @pytest.mark.parametrize(("images", "batch"), [(63, 16), (64, 16), (5, 5), (7, 1), (100, 33)])
    def test_an_epoch_has_each_image_at_most_once(self, images: int, batch: int) -> None:
        """All but the rest that fills no batch, which is another one in each epoch."""
        per_epoch = images // batch
        batches = list(Shuffled(images, batch, seed=3, steps=range(40 * per_epoch)))
        left_out = set()
        for epoch in range(40):
            rows = [row for rows in batches[epoch * per_epoch : (epoch + 1) * per_epoch] for row in rows]
            assert len(rows) == len(set(rows)) == per_epoch * batch
            assert set(rows) <= set(range(images))
            left_out |= set(range(images)) - set(rows)
        assert len(left_out) > images % batch or images % batch == 0
        assert {len(rows) for rows in batches} == {batch}

    def test_all_orders_are_as_likely(self) -> None:
        """Of 3 images: each of the 6 orders in a sixth of 6,000 epochs, within 5 standard deviations."""
        rows = np.array(list(Shuffled(3, 1, seed=0, steps=range(18_000)))).reshape(-1, 3)
        _, counts = np.unique(rows, axis=0, return_counts=True)
        assert len(counts) == 6
        assert abs(counts - 1000).max() < 5 * np.sqrt(6000 * 1 / 6 * 5 / 6)

    def test_the_order_follows_from_the_seed_and_the_epoch_alone(self) -> None:
        first = list(Shuffled(63, 16, seed=0, steps=range(12)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(123)
            assert list(Shuffled(63, 16, seed=0, steps=range(12))) == first
        assert list(Shuffled(63, 16, seed=1, steps=range(12))) != first
        assert [first[:3], first[3:6], first[6:9], first[9:]] != [first[:3]] * 4
        # Epochs are those of the training: a smaller batch takes the same order apart.
        smaller = [row for rows in Shuffled(63, 8, seed=0, steps=range(7)) for row in rows]
        assert smaller[:48] == [row for rows in first[:3] for row in rows]

    @pytest.mark.parametrize("start", range(13))
    def test_a_range_that_starts_anywhere_is_the_rest(self, start: int) -> None:
        rest = Shuffled(63, 16, seed=0, steps=range(start, 12))
        assert list(rest) == list(Shuffled(63, 16, seed=0, steps=range(12)))[start:]
        assert len(rest) == 12 - start
        assert list(rest) == list(rest)  # it can be iterated twice


class TestLoader:
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # since Python 3.12
    @pytest.mark.parametrize("processes", [0, 2])
    @pytest.mark.parametrize("task", ["rotation", "normals"])
    def test_batches_are_those_of_samples(self, data: Path, hardware: Accelerator, task: str, processes: int) -> None:
        samples = samples_of(data, task)
        for rows in in_order(len(samples), 16), Shuffled(len(samples), 16, seed=5, steps=range(1, 6)):
            batches = list(loader(samples, rows, hardware, processes))
            expected = [samples.batch(torch.tensor(row)) for row in rows]
            assert len(batches) == len(expected)
            assert all(map(equal, batches, expected))

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize("task", ["rotation", "normals"])
    def test_too_little_shared_memory(
        self,
        data: Path,
        hardware: Accelerator,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        task: str,
    ) -> None:
        """Batches come all the same, in another way, and it is told once."""
        monkeypatch.setattr(Samples, "__getitems__", cramped)
        sphreg.loading._warn.cache_clear()
        samples = samples_of(data, task)
        rows = in_order(len(samples), 16)
        batches = list(loader(samples, rows, hardware, 2))
        assert len(batches) == len(rows)
        assert all(map(equal, batches, (samples.batch(torch.tensor(row)) for row in rows)))
        (told,) = capfd.readouterr().err.splitlines()
        assert "/dev/shm" in told

    def test_no_shared_memory(self, data: Path, hardware: Accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even for a lock."""

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("_multiprocessing.SemLock", full)
        samples = samples_of(data, "rotation")
        with pytest.raises(UserError) as caught:
            list(loader(samples, in_order(len(samples), 16), hardware, 2))
        assert str(caught.value).startswith(
            "train.loaders is 2, and processes that decode cannot be started (No space left on device); allowed: 0, or "
        )

    def test_only_a_broken_connection_is_no_news_of_a_process_that_decodes(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for error in ConnectionResetError(), BrokenPipeError(), ZeroDivisionError("by zero"):
            sphreg.loading._but_of_connections(type(error), error, None)
        assert capsys.readouterr().err == "ZeroDivisionError: by zero\n"

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize("error", [ConnectionRefusedError(111, "Connection refused"), EOFError()])
    def test_a_process_that_dies_while_a_batch_is_received(
        self, data: Path, hardware: Accelerator, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def received(*_: object) -> None:
            raise error

        monkeypatch.setattr("torch.utils.data.dataloader._MultiProcessingDataLoaderIter._next_data", received)
        samples = samples_of(data, "rotation")
        with pytest.raises(
            UserError, match=r"^A process that decodes .*; train\.loaders is 1, allowed: fewer, or 0\.$"
        ):
            list(loader(samples, in_order(len(samples), 16), hardware, 1))

    def test_in_order_drops_nothing(self) -> None:
        assert list(in_order(7, 3)) == [[0, 1, 2], [3, 4, 5], [6]]
        assert list(in_order(0, 3)) == []

    @pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator is found")
    def test_no_images(self, data: Path, hardware: Accelerator) -> None:
        """As without held-out meshes; on a GPU too, where memory is pinned."""
        _, empty = samples_of(data, "rotation").hold_out(0.0)
        assert list(loader(empty, in_order(0, 3), hardware)) == []
        assert list(_batches(empty, in_order(0, 3), processes=0, pin=True)) == []

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_the_global_generators_are_left_alone(self, data: Path, hardware: Accelerator) -> None:
        """Those of torch and NumPy; from Python's own the type checker of these tests draws."""
        samples = samples_of(data, "rotation")
        before, before_numpy = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
        for processes in 0, 1:
            list(loader(samples, Shuffled(len(samples), 16, 0, range(2)), hardware, processes))
            (memory,) = kept([samples], "ram", hardware, processes)
            list(loader(memory, in_order(len(samples), 16), hardware))
        assert torch.equal(torch.get_rng_state(), before)
        assert (np.random.get_state(legacy=False)["state"]["key"] == before_numpy).all()


class TestKept:
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize("processes", [0, 2])
    @pytest.mark.parametrize("where", ["ram", "device"])
    @pytest.mark.parametrize("task", ["rotation", "normals"])
    def test_the_same_samples(
        self,
        data: Path,
        hardware: Accelerator,
        monkeypatch: pytest.MonkeyPatch,
        task: str,
        where: Literal["ram", "device"],
        processes: int,
    ) -> None:
        monkeypatch.setattr("sphreg.loading.CHUNK", 7)  # which divides neither part
        parts = samples_of(data, task).hold_out(0.25)
        memory = kept(parts, where, hardware, processes)
        for place, (samples, same) in enumerate(zip(parts, memory, strict=True)):
            assert len(same) == len(samples) > 7
            assert same.categories == samples.categories
            assert same.table.equals(samples.table)
            everything = torch.randperm(len(samples), generator=torch.Generator().manual_seed(place))
            assert equal(same.batch(everything), samples.batch(everything))
            raw, expected = same[everything.tolist()], samples[everything.tolist()]
            assert equal(raw, expected)
            assert raw.images.dtype == torch.uint8
            assert raw.truth.dtype == (torch.uint8 if task == "normals" else torch.float64)
            rows = Shuffled(len(samples), 4, seed=0, steps=range(3))
            assert all(map(equal, loader(same, rows, hardware), loader(samples, rows, hardware)))

    def test_nothing_is_read_afterwards(
        self, data: Path, hardware: Accelerator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (memory,) = kept([samples_of(data, "normals")], "ram", hardware, 0)
        monkeypatch.delattr(Views, "images")
        monkeypatch.delattr(Views, "colours")
        assert len(memory.batch(torch.arange(60)).images) == 60

    def test_a_part_without_images(self, data: Path, hardware: Accelerator) -> None:
        parts = kept(samples_of(data, "rotation").hold_out(0.0), "ram", hardware, 0)
        assert [len(part) for part in parts] == [84, 0]
        assert list(loader(parts[1], in_order(0, 3), hardware)) == []

    @pytest.mark.parametrize(
        ("processes", "task", "gigabytes"), [(1, "rotation", 0.1), (4, "rotation", 0.4), (1, "normals", 0.2)]
    )
    def test_too_large(
        self,
        data: Path,
        hardware: Accelerator,
        monkeypatch: pytest.MonkeyPatch,
        processes: int,
        task: str,
        gigabytes: float,
    ) -> None:
        """Said before anything is decoded but one image; for the learned and the held-out ones together."""
        one = 16 * 16 + 8 + (4 * 8 if task == "rotation" else 16 * 16 * 3)  # bytes
        count = round(gigabytes * 1e9 / one / processes)
        learned = repeated(samples_of(data, task), count - 20)
        held_out = repeated(samples_of(data, task), 20)
        decoded: list[int] = []
        read = Views.images

        def counting(views: Views, keys: Iterable[str]) -> np.ndarray:
            decoded.append(len(list(keys)))
            return read(views, keys)

        monkeypatch.setattr(Views, "images", counting)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        free = int((gigabytes - 1e-5) * 1e9)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
        with pytest.raises(UserError) as caught:
            kept([learned, held_out], "ram", hardware, 0)
        said = str(caught.value)
        assert "\n" not in said
        assert said.startswith("train.cache is 'ram', which needs ")
        assert f"needs {gigabytes:.1f} GB for {count:,} images of 16 x 16 pixels" in said
        assert re.search("allowed: none, ram or device", said)
        assert sum(decoded) <= 1


def repeated(samples: Samples, count: int) -> Samples:
    """As many samples, one of them again and again."""
    table = samples.table.iloc[np.zeros(count, dtype=int)].reset_index(drop=True)
    return Samples(table, samples.categories, samples.images, samples.normals)


class TestNormals:
    def test_they_are_those_of_the_camera(self) -> None:
        rng = np.random.default_rng(0)
        colours = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
        colours[:20] = 0  # background
        colours[20:40] = np.array([0, 0, 1], dtype=np.uint8)
        colours[40] = np.array([127, 128, 127], dtype=np.uint8)  # the shortest vector
        found, expected = normals(torch.from_numpy(colours)), decode_normals(colours)
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-7)
        assert (found[:20] == 0).all()
        assert (found[20:] != 0).any(-1).all()
        torch.testing.assert_close(found[20:].norm(dim=-1), torch.ones(180, 300))

    def test_they_are_decoded_on_the_way_to_the_device_once(self, data: Path) -> None:
        samples = samples_of(data, "normals")
        stored = samples[[0, 5]]
        decoded = stored.to(torch.device("cpu"))
        assert equal(decoded.to(torch.device("cpu")), decoded)
        maps = np.stack([samples.normals.normals(key) for key in samples.table["key"].iloc[[0, 5]]])  # type: ignore[union-attr]
        np.testing.assert_allclose(decoded.truth.numpy(), maps, rtol=0, atol=2e-7)
