"""What several test files need."""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.children import Children

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see stages/__init__.py; before torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other cores have tests of their own

settings.register_profile("sphreg", deadline=None, max_examples=50)  # no test asserts a time
settings.load_profile("sphreg")

LIBRARIES = "accelerate", "matplotlib.pyplot", "numba", "pandas", "scipy.stats", "torchvision", "trimesh"


def pytest_collectstart() -> None:
    """Import what takes long: a library that a module checked by jaxtyping is the first to import is compiled anew."""
    for library in LIBRARIES:
        import_module(library)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of three heads, two seeds and all tasks, and what it was made from; all made up."""
    from benchmarks.report import make, write

    folder = tmp_path_factory.mktemp("study")
    heads, tasks = ("direct", "flat", "sexp"), ("rotation", "viewpoint", "normals")
    make(folder, ["chair", "table"], 6, 4, 32, 3, heads, range(2), tasks)
    write(folder, heads, range(2), tasks)
    return folder


@pytest.fixture(scope="session")
def modelnet10() -> Path:
    """The folder of real ModelNet10 meshes beside the checkout; a test that needs it is skipped where it is missing."""
    folder = Path(__file__).parents[2] / "shared" / "modelnet10"
    if not folder.is_dir():
        pytest.skip(f"no real meshes at {folder}")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small packed dataset of `tests.datasets`."""
    from tests.datasets import write_data  # here and below, as most tests need no torch

    return write_data(tmp_path_factory.mktemp("so3"))


@pytest.fixture(scope="session")
def children() -> "Children":
    """What trains in processes that may be killed."""
    from tests.children import Children

    return Children.shared()
