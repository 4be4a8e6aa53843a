"""Phase d: how fast images are rendered and decoded."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.page import Report
from benchmarks.gpu.setting import Setting, new_processes
from benchmarks.so3 import VIEWS
from benchmarks.trainings import normalised
from sphreg.config import Render
from sphreg.cores import available
from sphreg.errors import UserError
from sphreg.furniture import CATEGORIES
from sphreg.markdown import escape
from sphreg.meshes import encode_normalised
from sphreg.render.engine import choose_engine
from sphreg.render.work import Job, render_mesh, software
from sphreg.samples import Samples

NVIDIA = Path("/usr/local/nvidia/share/glvnd/egl_vendor.d/10_nvidia.json")  # where a container has it
MESA = Path("/usr/share/glvnd/egl_vendor.d/50_mesa.json")


def main(setting: Setting, report: Report) -> None:
    """Views a second of each engine, by one process and by all cores; decoded images a second."""
    cores = len(available())
    report.table(
        "224 px with normals" if setting.gpu else "64 px with normals",
        "one process",
        f"{cores} processes",
        f"{VIEWS:,} views",
        "drawn by",
    )
    for what, variables in engines(setting).items():
        report.row(what, *rendered(setting, what, variables, cores))
    report.say(decoding(setting, cores))


def engines(setting: Setting) -> dict[str, dict[str, str]]:
    """What draws, and the environment that lets it."""
    vendors = {"pyrender, Mesa": MESA}
    found: dict[str, dict[str, str]] = {}
    if setting.gpu:
        found["pyrender, the usual EGL"] = {}
        vendors = {"pyrender, the card's EGL": NVIDIA} | vendors
    found |= {what: {"__EGL_VENDOR_LIBRARY_FILENAMES": str(path)} for what, path in vendors.items() if path.is_file()}
    return found | {"numba": {}}


def rendered(setting: Setting, what: str, variables: dict[str, str], cores: int) -> list[str]:
    """Rates of one process and of all, the minutes for the whole dataset, and the renderer."""
    size, views, seconds = (224, 100, 4.0) if setting.gpu else (64, 5, 0.2)
    settings = Render(
        engine="numba" if what == "numba" else "pyrender",
        seed=0,
        size=size,
        fov_deg=40.0,
        train_views=views,
        test_views=views,
        train_normals=views // 5,
        test_normals=views // 5,
        jpeg_quality=95,
    )
    with ProcessPoolExecutor(cores, new_processes(), set_variables, (variables,)) as pool:
        try:
            engine = pool.submit(choose_engine, settings.engine).result()
        except (UserError, BrokenProcessPool) as error:
            return ["", "", "", escape(error)]
        job = Job(settings, engine, software())
        # One that is done early may take another's turn.
        list(pool.map(work, [job] * 2 * cores, [seconds / 4] * 2 * cores))
        one, all_cores = (sum(pool.map(work, [job] * n, [seconds] * n)) for n in (1, cores))
    minutes = f"{VIEWS / all_cores / 60:.1f} minutes"
    return [f"{one:,.0f} views/s", f"{all_cores:,.0f} views/s", minutes, engine.get("gl_renderer", "the CPU")]


def set_variables(variables: dict[str, str]) -> None:
    """In a new process, before a library reads them."""
    os.environ.update(variables)


def work(job: Job, seconds: float) -> float:
    """Views a second of this process."""
    torch.set_num_threads(1)
    start, views = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for category, content in meshes().items():
            render_mesh(job, category, "train", content)
            views += job.settings.train_views
            if time.perf_counter() - start >= seconds:
                break
    return views / (time.perf_counter() - start)


@cache
def meshes() -> dict[str, bytes]:
    """One of each category, as the stage `meshes` writes it."""
    rng = np.random.default_rng(0)
    return {category: encode_normalised(normalised(category, rng)) for category in CATEGORIES}


def decoding(setting: Setting, cores: int) -> str:
    """What the cores decode."""
    size, images, seconds = (224, 2048, 2.0) if setting.gpu else (64, 64, 0.1)
    data = setting.dataset(size, images)
    with ProcessPoolExecutor(cores, new_processes()) as pool:
        list(pool.map(decode, [data] * 2 * cores, [seconds / 4] * 2 * cores))
        one, every = (sum(pool.map(decode, [data] * n, [seconds] * n)) for n in (1, cores))
    return (
        f"Decoding of images of {size} px, as a training without a cache does it: {one:,.0f} images/s of one process, "
        f"{every:,.0f} of {cores}. One core feeds a network that learns from {one:,.0f} images/s."
    )


def decode(data: Path, seconds: float) -> float:
    """Images a second of this process."""
    torch.set_num_threads(1)
    samples, rng = Samples.read(data, "train", False), np.random.default_rng(os.getpid())
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images += len(samples[rng.choice(len(samples), min(256, len(samples)), replace=False).tolist()].images)
    return images / (time.perf_counter() - start)
