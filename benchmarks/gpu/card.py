"""Phase a: what there is, and the peaks that the other phases are held against."""

import platform
import subprocess

import numpy as np
import torch

from benchmarks.gpu.page import Report
from benchmarks.gpu.setting import Setting
from benchmarks.rounds import machine


def main(setting: Setting, report: Report) -> None:
    """Of the machine, its software, its peaks."""
    report.table("what", "value")
    report.row("machine", f"{machine()}, {platform.release()}")
    if setting.gpu:
        properties = torch.cuda.get_device_properties(0)
        free, total = torch.cuda.mem_get_info()
        report.row("multiprocessors", str(properties.multi_processor_count))
        report.row("memory", f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} free")
        report.row("driver", driver())
    cudnn = torch.backends.cudnn.version() if setting.gpu else "none"
    report.row(
        "software", f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}, NumPy {np.__version__}"
    )
    report.row("matrix product, bfloat16", f"{peak(setting, torch.bfloat16) / 1e12:.3g} TFLOP/s")
    report.row("matrix product, float32", f"{peak(setting, torch.float32) / 1e12:.3g} TFLOP/s")
    if setting.gpu:
        report.row("matrix product, float32 as TF32", f"{peak(setting, torch.float32, tf32=True) / 1e12:.3g} TFLOP/s")
    report.row("copy on the device, bytes read and written", f"{bandwidth(setting) / 1e9:,.0f} GB/s")
    if setting.gpu:
        for pinned in True, False:
            memory = "pinned" if pinned else "pageable"
            report.row(f"copy to the device from {memory} memory", f"{upload(setting, pinned) / 1e9:.1f} GB/s")


def name(setting: Setting) -> str:
    """Of the card."""
    return torch.cuda.get_device_name() if setting.gpu else "no GPU, the CPU in its place"


def driver() -> str:
    """Its version, as nvidia-smi says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "not known"


def peak(setting: Setting, dtype: torch.dtype, tf32: bool = False) -> float:
    """FLOP/s of a product of two square matrices of random numbers: zeros would be faster."""
    side = 8192 if setting.gpu else 512
    a, b = (torch.randn(side, side, device=setting.device, dtype=dtype) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        return 2 * side**3 * setting.rate(lambda: a @ b, 0.5 if setting.gpu else 0.1)
    finally:
        torch.set_float32_matmul_precision(before)


def bandwidth(setting: Setting) -> float:
    """Bytes a second, read and written, of a copy that fits in no cache."""
    source = torch.empty(2**32 if setting.gpu else 2**26, dtype=torch.uint8, device=setting.device).random_()
    target = torch.empty_like(source)
    return 2 * source.nbytes * setting.rate(lambda: target.copy_(source), 0.3 if setting.gpu else 0.05)


def upload(setting: Setting, pinned: bool) -> float:
    """Bytes a second from the memory of the machine."""
    source = torch.empty(2**28, dtype=torch.uint8, pin_memory=pinned).random_()
    target = torch.empty_like(source, device=setting.device)
    return source.nbytes * setting.rate(lambda: target.copy_(source, non_blocking=True), 0.3)
