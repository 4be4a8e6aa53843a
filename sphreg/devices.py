"""Where networks run: the CPU, a GPU, or the processes of `torchrun` and `accelerate launch`, one per device."""

import os
import shutil

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration

from sphreg.config import DeviceName, Training
from sphreg.errors import UserError


def accelerator(device: DeviceName) -> Accelerator:
    """This process among those that were launched together, or alone.

    A batch is split over the processes; copies to the device do not wait.

    Raises:
        UserError: there is no such device.
    """
    check_device(device)
    return Accelerator(
        cpu=device == "cpu" or not torch.cuda.is_available(),
        mixed_precision="no",  # `Model` says what is computed in which precision, also where nothing was launched
        rng_types=[],
        dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=True),
    )


def check_device(device: DeviceName, *trainings: Training) -> None:
    """See that there is such a device, and that it can do what these trainings ask of it.

    Raises:
        UserError: it is not so.
    """
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise UserError("train.device is 'cuda', and torch finds no GPU here; allowed: auto, cpu.")
    reduced = any(training.precision == "bfloat16" for training in trainings)
    if reduced and gpu and device != "cpu" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(f"precision is 'bfloat16', which {torch.cuda.get_device_name()} lacks; allowed: float32.")
    compiler = os.environ.get("CXX", "g++")  # as torch.compile finds it
    if any(training.compile for training in trainings) and not (gpu and device != "cpu") and not shutil.which(compiler):
        raise UserError(f"compile is true, which needs a C++ compiler, and there is no {compiler}; allowed: false.")


def out_of_memory(error: Exception) -> bool:
    """Whether it was raised for want of memory, of the CPU or of a GPU."""
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return known or any(said in str(error) for said in ("can't allocate memory", "out of memory", "ALLOC_FAILED"))


def seed(device: torch.device, number: int) -> None:
    """Seed what draws the random numbers of the CPU and of one device.

    torch.manual_seed seeds those of all kinds of devices, which takes 0.2 ms.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)
