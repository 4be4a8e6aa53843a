"""The run with the kernels of other CPUs: that it does not start with those of this one."""

import ast
import os
import platform
import sys

import pytest

from tests import kernels


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN has a choice on x86-64 alone")
def test_a_word_that_a_library_does_not_know_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["kernels"])
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it starts"))
    monkeypatch.setitem(kernels.TOLD["old"], "ONEDNN_MAX_CPU_ISA", "SSE4")
    with pytest.raises(SystemExit, match=r"^Not as they were told: \{'oneDNN': .*Intel SSE4\.1"):
        kernels.main()


def test_what_it_leaves_out_is_there() -> None:
    """A file or a test that was renamed would be run."""
    for name in kernels.FILES:
        assert (kernels.ROOT / f"tests/test_{name}.py").is_file(), name
    for name, tests in kernels.TESTS.items():
        tree = ast.parse((kernels.ROOT / f"tests/test_{name}.py").read_text())
        assert set(tests) <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}, name
