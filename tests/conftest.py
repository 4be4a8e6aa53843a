"""What several test files need."""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.children import Children

# Before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see stages/__init__.py
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # all machines do the same; what a GPU does, benchmarks tell
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other cores have tests of their own

# No test asserts a time: the machine may be slow, or busy.
settings.register_profile("sphreg", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sphreg")

LIBRARIES = "accelerate", "matplotlib.pyplot", "numba", "pandas", "scipy.stats", "torchvision", "trimesh"


# What `-m quick` leaves out, as it takes about a second or more: files, classes and tests. All else is quick.
SLOW = (
    "test_api.py::TestNames::test_they_are_imported_when_they_are_asked_for",
    "test_bad_input.py::test_300_000_faces",
    "test_bad_input.py::test_the_command",
    "test_bad_training.py::TestAnImageThatIsNone::test_in_a_process_that_decodes",
    "test_bad_training.py::test_a_compiled_network_learns_the_same",
    "test_bad_training.py::test_bfloat16_on_the_cpu",
    "test_browser.py",
    "test_card.py::test_neither_torch_nor_pyplot_is_imported",
    "test_card.py::test_small_and_uneven_datasets",
    "test_changes.py",
    "test_compare.py",
    "test_comparison_figures.py",
    "test_damaged_inputs.py",
    "test_dataset_figures.py",
    "test_engines.py",
    "test_execution.py",
    "test_faults.py::test_a_little_of_each_part",
    "test_faults.py::test_what_a_reader_does_with_a_changed_file",
    "test_faults.py::test_wrong_arguments_are_named",
    "test_figures.py",
    "test_gpu_benchmark.py::test_each_phase_runs_at_a_small_scale",
    "test_gpu_benchmark.py::test_a_phase_is_ended_at_its_time",
    "test_gpu_benchmark.py::test_nothing_is_left_behind",
    "test_formats.py::test_an_off_file_is_read_as_it_stands_or_refused",
    "test_formats.py::test_every_real_mesh",
    "test_kernels.py::test_a_word_that_a_library_does_not_know_is_found_out",
    "test_meshes.py::test_every_real_mesh",
    "test_networks.py::TestBackbones",
    "test_networks.py::TestMirroredNetwork",
    "test_networks.py::TestWeights",
    "test_page.py",
    "test_pipeline.py",
    "test_predict.py::TestProgram::test_as_a_person_runs_it",
    "test_presets.py::test_one_step_of_training_as_in_the_paper",
    "test_processes.py",
    "test_rendering.py",
    "test_report.py",
    "test_resume.py",
    "test_statistics.py::test_intervals",
    "test_statistics.py::test_many_equal_heads",
    "test_statistics.py::test_views_that_are_drawn_alone",
    "test_teaser.py",
    "test_training.py::TestEveryTaskWithEveryHead",
    "test_viewer.py::test_it_runs_as_a_module",
    "test_views.py::test_threads_may_read_while_the_file_is_replaced",
)


def pytest_itemcollected(item: pytest.Item) -> None:
    if not item.nodeid.removeprefix("tests/").startswith(SLOW):
        item.add_marker("quick")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """All tests in a process for each core, at most four; single files in this one."""
    every = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return min(os.cpu_count() or 1, 4) if every else 0


def pytest_collectstart() -> None:
    """Import what takes long: a library that a module checked by jaxtyping is the first to import is compiled anew."""
    for library in LIBRARIES:
        import_module(library)


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that are `in_order` go on from what the last one left: back to the order of their file."""
    places = [place for place, item in enumerate(items) if item.get_closest_marker("in_order")]
    ordered = sorted((items[place] for place in places), key=lambda item: (item.path, item.location[1]))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


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
