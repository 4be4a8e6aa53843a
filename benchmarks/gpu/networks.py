"""Phase f: networks layer by layer beside their bounds, the largest batches, and what `compile` gains."""

import torch

from benchmarks.gpu.card import bandwidth, peak
from benchmarks.gpu.layers import layers
from benchmarks.gpu.page import Report
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.throughput import Case, build, cases, describe, fixed
from benchmarks.trainings import step_on
from sphreg.training import Run


def main(setting: Setting, report: Report) -> None:
    """For the most important networks."""
    top, bytes_per_s = peak(setting, torch.bfloat16), bandwidth(setting)
    report.say(f"The bounds: {top / 1e12:.3g} TFLOP/s in bfloat16, {bytes_per_s / 1e9:,.0f} GB/s.")
    for case in cases(setting)[:3]:
        report.say(f"Layers of {describe(case)} in bfloat16, each alone, forward and backward, the slowest first:")
        report.table("layer", "input", "times", "ms", "bound in ms", "bound by")
        report.rows(layers(setting, build(setting, case, precision="bfloat16"), top, bytes_per_s))
    if not setting.gpu:
        return
    report.say("The largest batch, of powers of two, in bfloat16:")
    report.table("network", "images", "memory")
    for case in cases(setting):
        report.row(describe(case), *largest(setting, case, build(setting, case, precision="bfloat16")))
    report.say("With `compile`:")
    report.table("network, bfloat16", "images/s", "of the same without")
    for case in [case for case in cases(setting) if case.backbone in ("small", "resnet50") and case.task == "rotation"]:
        report.row(describe(case), *compiled(setting, case))


def largest(setting: Setting, case: Case, training: Run) -> tuple[str, str]:
    """The largest of case.batch, twice, four times ... of it that the memory holds, and how much it takes."""
    found = ("none", "")
    for doublings in range(8):
        images = case.batch * 2**doublings
        setting.free_memory()
        try:
            step_on(training, fixed(setting, case, images))
            setting.wait()
        except RuntimeError:  # out of memory, or out of the numbers that index it
            break
        found = (f"{images:,}", f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    training.optimizer.zero_grad()
    setting.free_memory()
    return found


def compiled(setting: Setting, case: Case) -> tuple[str, str]:
    """Images a second, and the ratio to the same without."""
    batch, rates = fixed(setting, case), []
    for wanted in False, True:
        training = build(setting, case, precision="bfloat16", compile=wanted)
        rates.append(case.batch * setting.rate(lambda training=training: step_on(training, batch), 1.0))
    return f"{rates[1]:,.0f}", f"{rates[1] / rates[0]:.2f}"
