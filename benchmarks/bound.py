"""The step of training beside the bound of the processor, and what was tried to come nearer to it."""

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from pathlib import Path

import torch

from benchmarks.rows import row
from benchmarks.trainings import SIZES, compare, flops, run, step_on, work
from sphreg.samples import Samples

SIDE = 1024  # of the matrices, whose product shows what the processor can do
STEPS = 10  # of a round
WAYS = {  # by name: settings of a training that differ from the default
    "float32, channels_last, as by default": {},
    "bfloat16": {"precision": "bfloat16"},
    "compile": {"compile": True},
    "bfloat16, compile": {"precision": "bfloat16", "compile": True},
}


def bound(folder: Path, rounds: int) -> Iterator[str]:
    """Steps of `small` on one batch, beside a count of their multiplications and a product of matrices."""
    samples = Samples.read(folder / str(SIZES["small"]), "train", False)
    trainings = {name: run("small", "rotation", "sexp", samples, folder, **changes) for name, changes in WAYS.items()}
    plain = run("small", "rotation", "sexp", samples, folder)
    plain.model.network.to(memory_format=torch.contiguous_format)
    trainings["float32, contiguous in place of channels_last"] = plain
    size = plain.model.config.train.batch
    batch = samples.batch(torch.arange(size))
    contenders = {
        name: work(repeat(batch), partial(step_on, training), STEPS, size) for name, training in trainings.items()
    }
    for dtype in torch.float32, torch.bfloat16:
        a, b = torch.randn(2, SIDE, SIDE).to(dtype)
        contenders[str(dtype)] = work(repeat((a, b)), lambda pair: pair[0] @ pair[1], 3, 1)
    found = compare(contenders, rounds)
    each = flops(plain, batch) / size
    what = "bound, small, 64 px, rotation"
    peaks = {name: 2 * SIDE**3 * found[name] for name in ("torch.float32", "torch.bfloat16")}
    for name, peak in peaks.items():
        yield row(
            f"{what}: product of matrices of {SIDE}, {name.removeprefix('torch.')}", peak.median() / 1e9, "GFLOP/s"
        )
    default = found[next(iter(WAYS))]
    for name in trainings:
        peak = peaks["torch.bfloat16" if "bfloat16" in name else "torch.float32"]
        share = (found[name] * each / peak).median()
        ratio = f"{share:.0%} of that product, {(found[name] / default).median():.2f} x the default"
        yield row(f"{what}: step, {name}, {each / 1e6:.1f} MFLOP an image", found[name].median(), "images/s", ratio)
