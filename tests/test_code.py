"""What of the code counts for a stage, and that its checksum tells what it does and not how it is written."""

import ast
import re
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from sphreg import code
from sphreg.errors import UserError

ROOT = Path(__file__).parents[1]
SAMPLE = '''
"""A module."""
from __future__ import annotations
import math as m  # a comment
from os import path, sep as s

A: int = 0x10 + 1_000 - 2.5e-3 + 1j  # type: ignore
B = "a" "b" + r"\\d" + f"{A!r:>{A}}" f"x{{{A:.2f}}}" + f"{A=}" + f"{A:}" + f"" + "é\\N{BULLET}\\U0001FAE9" + u"u"
C = b"bytes", None, True, ..., -1, not 1, ~1, (), [], {}, {1, *[2]}, {1: 2, **{}}
D = [x for x in range(3) if x if x > 1], {x: y for x, y in []}, (x async for x in y), {x for x in ()}
E = lambda a, /, b=1, *c, d, e=2, **f: (a, b)
x = y = A if B else C[1:2, ::3, ...]
x.z, (x, *y) = y[0], C
x @= 1
del x, y[0]


@E(1)
class Thing(A, metaclass=B):
    """A docstring."""

    field: "int" = 1

    async def method(self, a: int = 1, *, b: str) -> None:
        """Another."""
        async with a as b, c:
            await b
        async for i in a:
            yield i
        "no docstring"
        return None

    def empty(self): ...


def function(a):
    global x
    match a:
        case {"k": 1, **rest} | [1, *_] | Thing(b=2) | None | "s" as name if a > 1:
            pass
        case -1 | 1 + 1j:
            raise ValueError from None
        case _:
            assert a, "text"
    try:
        while (n := a) < 1 <= 2 is not None not in a:
            break
        else:
            nonlocal_ = 1
    except* (ValueError, TypeError) as e:
        pass
    try:
        pass
    except ValueError:
        yield from a
    else:
        for i, in a: continue
        else: pass
    finally:
        import sphreg.spheres
'''


def lines(text: str) -> list[str]:
    return code.canonical(ast.parse(text))


def test_the_checksum_is_the_same_on_every_python() -> None:
    """Of all syntax that they share. The number was found on 3.11, 3.12, 3.13 and 3.14, and stands for none of them."""
    assert code._digest("\n".join(lines(SAMPLE)).encode()) == "2672f1a9dbcc7e59"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = 1", "a = 1  # one\n\n"),
        ("def f():\n    '''Text.'''\n    return 1", "def f():\n    return (1)"),
        ("class A:\n    '''Text.'''", "class A:\n    '''Another.'''"),
        ("'''Text.'''\na = 1", "a = 1"),
        ("a = 'b' 'c'", 'a = "bc"'),
        ("a = f'{b}' 'c' f'd{e}'", "a = f'{b}cd{e}'"),
    ],
)
def test_how_it_is_written_does_not_count(one: str, other: str) -> None:
    assert lines(one) == lines(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = 1", "a = 2"),
        ("a = 1", "a = 1.0"),
        ("a = 1", "a = True"),
        ("a = 'b'", "a = b'b'"),
        ("a = b", "a = c"),
        ("a = b + c", "a = b - c"),
        ("a = b - c", "a = c - b"),
        ("a = [b, c]", "a = [b], c"),
        ("a = [[b], c]", "a = [[b, c]]"),
        ("f(a)(b)", "f(a, b)"),
        ("if a:\n    b\nc", "if a:\n    b\n    c"),
        ("def f():\n    'one'\n    'two'", "def f():\n    'one'\n    'three'"),
        ("a = f'{b!r}'", "a = f'{b}'"),
        ("a = f'{b:1}'", "a = f'{b:2}'"),
        ("def f(a, b=1): ...", "def f(a=1, b=1): ..."),
        ("def f(*, a, b=1): ...", "def f(*, a=1, b): ..."),
        ("a = {b: c, **d}", "a = {**d, b: c}"),
        ("import a", "import a as b"),
        ("from . import a", "from .. import a"),
    ],
)
def test_what_it_does_counts(one: str, other: str) -> None:
    assert lines(one) != lines(other)


@pytest.mark.parametrize("name", ["meshes", "render", "train", "page"])
def test_what_a_stage_imports_counts(name: str) -> None:
    """Held against the standard library's own search for imports."""
    finder = ModuleFinder([str(ROOT)], excludes=[*code.UNCOUNTED - {"sphreg", "stages"}])
    finder.run_script(str(ROOT / f"stages/{name}.py"))
    files = {Path(str(module.__file__)) for module in finder.modules.values() if module.__file__}
    found = {file.relative_to(ROOT).as_posix() for file in files if file.is_relative_to(ROOT)}
    counted = {path for path in code.modules(f"stages.{name}", {}) if path.endswith(".py")}
    types = {"sphreg/heads/base.py"}  # which the registry of heads imports for them alone
    assert counted - types == found - types - {"sphreg/__init__.py", "stages/__init__.py"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nfrom .spheres import s_exp", "line 2: a relative import, allowed: from sphreg."),
        ("from . import spheres", "line 1: a relative import, allowed: from sphreg."),
        (
            "from sphreg import Head",
            "line 1: an import from sphreg, which `check` does not follow; allowed: from a module",
        ),
        (
            "def f():\n    import sphreg",
            "line 2: an import from sphreg, which `check` does not follow; allowed: from a",
        ),
        ("from stages.helper import A", "line 1: an import from stages.helper, which `check` does not follow; allowed"),
        ("a = (\n", "line 1: it is no Python ('(' was never closed)."),
    ],
)
def test_what_cannot_be_followed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setattr(code, "ROOT", tmp_path)
    (tmp_path / "sphreg").mkdir()
    (tmp_path / "sphreg/toy.py").write_text(text)
    with pytest.raises(UserError, match=re.escape(f"sphreg/toy.py, {said}")):
        code.modules("sphreg.toy", {})


def test_names_stand_in_texts_and_patterns_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "ROOT", tmp_path)
    (tmp_path / "sphreg").mkdir()
    text = "match a.b:\n    case C(d=e):\n        getattr(f, 'g')\n        h(i=j)\ndef k(l): ...\n"
    (tmp_path / "sphreg/toy.py").write_text(text)
    assert {*"abCdfghijl", "getattr"} <= code.names("sphreg.toy", {})


def test_of_a_registry_the_entry_in_use_counts() -> None:
    sexp, flat = (code.modules("sphreg.model", {"HEADS": [head]}) for head in ("sexp", "flat"))
    assert {path for path in sexp.keys() | flat.keys() if sexp.get(path) != flat.get(path)} == {
        "sphreg/heads/__init__.py:flat",
        "sphreg/heads/__init__.py:sexp",
        "sphreg/heads/flat.py",
        "sphreg/heads/sexp.py",
    }
    both = code.modules("sphreg.model", {"HEADS": ["sexp", "flat"]})
    assert {"sphreg/heads/flat.py", "sphreg/heads/sexp.py"} < both.keys() and "sphreg/heads/direct.py" not in both


def test_what_lies_beside_and_is_named_counts() -> None:
    assert {"sphreg/page/style.css", "sphreg/page/template.html", "sphreg/published/numbers.yaml"} < code.modules(
        "stages.page", {}
    ).keys()
    assert {"sphreg/render/shaders/surface.vert"} < code.modules("stages.render", {}).keys()
    assert not any(path.endswith((".vert", ".css")) for path in code.modules("stages.train", {}))
