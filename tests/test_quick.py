"""What `-m quick` leaves out."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SLOW


def names(path: Path) -> Iterator[str]:
    """Of a test file, its classes and its tests."""
    yield path.name
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{path.name}::{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from (
                f"{path.name}::{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)
            )


@pytest.mark.parametrize("slow", SLOW)
def test_it_is_there(slow: str) -> None:
    """Or a test that was renamed would make the quick ones slow."""
    path = Path(__file__).with_name(slow.partition("::")[0])
    assert any(name.startswith(slow) for name in names(path))
