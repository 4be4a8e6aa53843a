"""Two processes that share each batch learn, log and test as one does. Gloo, on the CPU."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

import sphreg.training
from sphreg import checkpoint, checksums
from sphreg.loading import Shuffled
from tests import children as script
from tests.agreement import DEGREES, FLIPS
from tests.children import KILLED, ROOT, Children
from tests.datasets import config_of, samples_of

# A gradient of Adam is divided by its size, so that rounding alone may turn a small one. Of two categories' outputs
# one may have no image in a process. Rotations are few, and one whose signs tie could move their median: no S_exp.
CONFIGS = {
    "rotation": config_of("rotation", "flat", epochs=4, optimizer="sgd", lr=0.05),
    "normals": config_of("normals", "sexp", epochs=4, optimizer="sgd", lr=0.05),
}


@pytest.fixture(scope="module")
def work(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What one process and what two of torchrun made of the same, in the folders `one` and `two`."""
    folder = tmp_path_factory.mktemp("work")
    for name in "one", "two":
        requests = []
        for task, config in CONFIGS.items():
            (folder / name / task).mkdir(parents=True)
            request = {
                "config": config.model_dump(mode="json"),
                "data": str(data),
                "folder": str(folder / name / task),
            }
            requests += [("train", request | {"plain": True}), ("points", request)]
        (folder / f"{name}.json").write_text(json.dumps(requests))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # By the loopback, as the name of a machine may lead nowhere.
    command = [*torchrun, "--local-addr", "127.0.0.1", "-m", "tests.children", str(folder / "two.json")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        for module in script.backbones, script.pixels:  # put back at the end
            patch.setattr(module, "convolution", module.convolution)
        patch.setattr(sphreg.training, "time", sphreg.training.time)
        threads = torch.get_num_threads()
        script.main([str(folder / "one.json")])
        torch.set_num_threads(threads)
    yield folder


@pytest.mark.parametrize("task", CONFIGS)
def test_the_curves_are_those_of_one_process(work: Path, data: Path, task: str) -> None:
    one, two = (pd.read_csv(work / name / task / "out" / "log.csv") for name in ("one", "two"))
    assert len(one) == 4
    assert one["validation_median_deg"].notna().all()
    assert one["loss"].iloc[-1] < one["loss"].iloc[0]
    medians = [log.pop("validation_median_deg") for log in (one, two)]
    # Of the 3,840 pixels some have signs that tie; one that changes sides moves the median by some 0.02 degrees.
    pd.testing.assert_series_equal(*medians, rtol=1e-4, atol=0.1 if task == "normals" else 0)
    pd.testing.assert_frame_equal(
        *(log.drop(columns="images_per_s") for log in (one, two)), rtol=1e-4, check_exact=False
    )


def test_the_halves_of_a_batch_have_very_different_numbers_of_pixels(data: Path) -> None:
    """Or the curves above would say nothing about how normals are averaged."""
    learned, held_out = samples_of(data, "normals").hold_out(0.25)
    assert (len(learned), len(held_out)) == (45, 15)
    ratios = []
    for rows in Shuffled(45, 16, seed=0, steps=range(8)):
        fewer, more = sorted(
            int(learned.batch(torch.tensor(half)).truth.any(-1).sum()) for half in (rows[:8], rows[8:])
        )
        ratios.append(more / fewer)
    assert max(ratios) > 1.5


@pytest.mark.parametrize("task", CONFIGS)
def test_each_sample_of_a_test_is_predicted_once_and_in_order(work: Path, data: Path, task: str) -> None:
    test = samples_of(data, task, "test")
    expected = test.batch(torch.arange(len(test)))
    assert len(test) % 2 == 1
    one, *two = (
        torch.load(work / name) for name in (f"one/{task}/points0", f"two/{task}/points0", f"two/{task}/points1")
    )
    together = [torch.cat(values) for values in zip(*one, strict=True)]
    for batches in two:
        assert [len(images) for images, *_ in batches] == [8] * (len(test) // 8) + [len(test) % 8]  # 7, but even
        images, categories, truth, points = (torch.cat(values) for values in zip(*batches, strict=True))
        assert torch.equal(images, expected.images)
        assert torch.equal(categories, expected.categories)
        assert torch.equal(truth, expected.truth)
        assert points.std() > 0
        # Where two classes of signs tie, others may be picked: see `agreement`.
        torch.testing.assert_close(points.abs(), together[3].abs(), rtol=0, atol=math.radians(DEGREES))
        assert (points.sign() != together[3].sign()).double().mean() <= FLIPS


@pytest.mark.parametrize(("batch", "plain", "rank"), [(2, True, 0), (4, False, 1)])
def test_killed(children: Children, data: Path, tmp_path: Path, batch: int, plain: bool, rank: int) -> None:
    """One process dies, and the launcher ends the other. With dropout, and with batch normalisation."""
    config = config_of("rotation", "sexp", batch=batch, dropout=0.3)
    statuses, output = children.train(config, data, tmp_path / "whole", processes=2, plain=plain)
    assert statuses == [0, 0], output
    statuses, output = children.train(
        config, data, tmp_path / "parts", processes=2, plain=plain, kill=("step", 25), rank=rank
    )
    assert statuses[rank] == KILLED, output
    assert statuses[1 - rank] != 0
    statuses, output = children.train(config, data, tmp_path / "parts", processes=2, plain=plain)
    assert statuses == [0, 0], output
    assert f"Going on after step {20 if plain else 15} of" in output
    for name in "last.safetensors", "best.safetensors":
        whole, parts = ((tmp_path / folder / "out" / name).read_bytes() for folder in ("whole", "parts"))
        assert whole == parts
    logs = [
        pd.read_csv(tmp_path / name / "out" / "log.csv").drop(columns="images_per_s") for name in ("whole", "parts")
    ]
    pd.testing.assert_frame_equal(*logs, check_exact=True)
    (left,) = (tmp_path / "parts" / "scratch").glob("*/*")
    assert left.name == "result"
    checksums.check(tmp_path / "parts" / "out", checkpoint.RESULT)


def test_a_batch_that_they_cannot_share(children: Children, data: Path, tmp_path: Path) -> None:
    statuses, output = children.train(config_of(batch=15), data, tmp_path, processes=2)
    sentence = "train.rotation.batch is 15, allowed: a multiple of 2, as so many processes share each batch."
    assert 1 in statuses
    assert 0 not in statuses
    said = output.splitlines()
    assert set(said) == {sentence}
    assert statuses.count(1) <= len(said) <= 2  # one that has said it may be ended before it ends
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint(children: Children, data: Path, tmp_path: Path) -> None:
    """The first process reads it, and the launcher ends the other, which waits for it."""
    statuses, output = children.train(config_of(), data, tmp_path, processes=2, kill=("after checkpoint", 1), rank=0)
    assert statuses[0] == KILLED, output
    (file,) = tmp_path.rglob("checkpoint.pt")
    file.write_bytes(file.read_bytes()[:-1])
    statuses, output = children.train(config_of(), data, tmp_path, processes=2)
    assert statuses[0] == 1
    assert statuses[1] != 0
    assert output.splitlines()[0].startswith(f"{file}: ")
