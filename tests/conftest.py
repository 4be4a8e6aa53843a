"""What several test files need."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def modelnet10() -> Path:
    """The folder of real ModelNet10 meshes beside the checkout; a test that needs it is skipped where it is missing."""
    folder = Path(__file__).parents[2] / "shared" / "modelnet10"
    if not folder.is_dir():
        pytest.skip(f"no real meshes at {folder}")
    return folder
