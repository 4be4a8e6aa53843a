"""What several test files need."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see stages/__init__.py; before torch is imported

settings.register_profile("sphreg", deadline=None, max_examples=50)  # no test asserts a time
settings.load_profile("sphreg")


@pytest.fixture(scope="session")
def modelnet10() -> Path:
    """The folder of real ModelNet10 meshes beside the checkout; a test that needs it is skipped where it is missing."""
    folder = Path(__file__).parents[2] / "shared" / "modelnet10"
    if not folder.is_dir():
        pytest.skip(f"no real meshes at {folder}")
    return folder
