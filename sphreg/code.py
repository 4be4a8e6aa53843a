"""What code does, told from how it is written: a checksum without comments and docstrings, the same on every Python.

The stage `check` writes one for each stage, which is what DVC knows of the code (see `stages.fingerprints`); and a
training that was killed goes on only with the code that it began with.

What counts of a module is the syntax tree of all its statements, and of what it imports the same, in functions too. Of
a registry, a dict that gives a thing for a name, the entries in use count alone: a new head changes no other's result.
What cannot be followed is refused. Not seen are a head that builds another one by its name, data that lie elsewhere
than beside the module that names them, and other versions of the libraries.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from sphreg.errors import UserError

PACKAGE = Path(__file__).parent
ROOT = PACKAGE.parent
# What these do, they do to no result: they declare settings, refuse wrong ones, wait, and find out what counts.
UNCOUNTED = {
    "sphreg",
    "sphreg.code",
    "sphreg.config",
    "sphreg.locks",
    "sphreg.presets",
    "sphreg.program",
    "sphreg.scratch",
    "stages",
}
REGISTRIES = {"sphreg.heads": "HEADS", "sphreg.tasks": "TASKS", "sphreg.networks.backbones": "BACKBONES"}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
FOLLOW = {"ctx", "kind", "type_comment", "type_ignores"}  # fields that follow from the rest, or change nothing
Entries = Mapping[str, Iterable[str]]


def modules(name: str, entries: Entries) -> dict[str, str]:
    """The checksums of a module and of all that it imports of this project, sorted by file; of registries, by entry.

    Where a module names a file beside it that is no Python, as a page's template, all such files count by their bytes.

    Args:
        name: of the module.
        entries: the names in use, by registry: `{"HEADS": ["sexp"]}`. Of a registry that is missing there, none are.

    Raises:
        UserError: a file is no Python, or imports in a way that is not followed here.
    """
    found: dict[str, str] = {}
    seen, todo = set(UNCOUNTED), [name]
    while todo:
        name = todo.pop()
        if name in seen or (file := _file(name)) is None:
            continue
        seen.add(name)
        found[_path(file)], imports = _counted(file, REGISTRIES.get(name))
        todo += imports
        for key in entries.get(REGISTRIES.get(name, ""), ()):
            if entry := _entry(file, REGISTRIES[name], key):
                found[f"{_path(file)}:{key}"], imports = entry
                todo += imports
        found |= {_path(each): _digest(each.read_bytes()) for each in _data(file)}
    return dict(sorted(found.items()))


def checksum(name: str, entries: Entries) -> str:
    """One checksum of all these."""
    return _digest(repr(modules(name, entries)).encode())


def names(name: str, entries: Entries) -> set[str]:
    """All names that stand in the code that counts: of variables, attributes and arguments, and in texts."""
    return {each for path in modules(name, entries) if path.endswith(".py") for each in _names(ROOT / path)}


@cache
def _names(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(_parsed(file)):
        match node:
            case ast.Name(name) | ast.Attribute(attr=name) | ast.arg(name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.Constant(str(text)):
                found.add(text)
            case ast.MatchClass(kwd_attrs=names):
                found |= {*names}
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _path(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def _file(name: str) -> Path | None:
    """That of a module of this project."""
    stem = ROOT.joinpath(*name.split("."))
    return next((file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()), None)


@cache
def _data(file: Path) -> list[Path]:
    """The files beside a module, also in folders that are no packages, that are no Python; none if it names none."""
    packages = {path.parent for path in file.parent.glob("*/__init__.py")}
    beside = [path for path in file.parent.iterdir() if path not in packages and path.name != "__pycache__"]
    found = [path for each in beside for path in (each, *each.glob("*")) if _is_data(path)]
    texts = [node.value for node in ast.walk(_parsed(file)) if isinstance(node, ast.Constant)]
    named = {Path(text).name for text in texts if isinstance(text, str)}
    named |= {f"{file.stem}{name}" for name in named if name.startswith(".")}  # as of `with_suffix`
    return found if named & {path.name for path in found} else []


def _is_data(path: Path) -> bool:
    return path.is_file() and path.suffix != ".py" and not path.name.startswith(".")


@cache
def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise UserError(f"{_path(file)}, line {error.lineno}: it is no Python ({error.msg}).") from None


@cache
def _counted(file: Path, registry: str | None) -> tuple[str, list[str]]:
    """The checksum of a file without its registry, and the names of what it imports."""
    tree = ast.Module([node for node in _parsed(file).body if _dict(node, registry) is None], [])
    return _checksum(tree), [*_imported(tree, file)]


@cache
def _entry(file: Path, registry: str, key: str) -> tuple[str, list[str]] | None:
    """The same of an entry of a registry; None if it has none of that name."""
    for found in (_dict(node, registry) for node in _parsed(file).body):
        for name, value in zip(found.keys, found.values, strict=True) if found else ():
            if isinstance(name, ast.Constant) and name.value == key:
                return _checksum(value), [*_imported(value, file)]
    return None


def _dict(node: ast.stmt, registry: str | None) -> ast.Dict | None:
    """What a statement gives to the name of a registry."""
    match node:
        case ast.Assign([ast.Name(name)], ast.Dict() as found) if name == registry:
            return found
    return None


def _checksum(tree: ast.AST) -> str:
    return _digest("\n".join(canonical(tree)).encode())


def _imported(tree: ast.AST, file: Path) -> Iterator[str]:
    """Names of what may be a module of this project: in import statements, and in texts as `sphreg.heads.sexp:SExp`."""
    match tree:
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=others):
            for other in others:
                yield from _imported(other, file)
        case ast.Import(names=found):
            for alias in found:
                yield from _followed(alias.name, alias.name, file, tree.lineno)
        case ast.ImportFrom(level=level) if level:
            raise UserError(f"{_path(file)}, line {tree.lineno}: a relative import, allowed: from {PACKAGE.name}.")
        case ast.ImportFrom(module=str(module), names=found):
            for alias in found:
                yield from _followed(module, f"{module}.{alias.name}", file, tree.lineno)
        case ast.Constant(value=str(text)) if re.fullmatch(rf"{PACKAGE.name}(\.\w+)+(:\w+)?", text):
            yield from _packages(text.partition(":")[0])
        case _:
            for node in ast.iter_child_nodes(tree):
                yield from _imported(node, file)


def _followed(module: str, name: str, file: Path, line: int) -> Iterator[str]:
    """The modules of an import, which is refused where they, or what makes them, would not count."""
    of_stage = module.partition(".")[0] == "stages" and module != "stages"
    if of_stage or (module == PACKAGE.name and _file(name) in (None, PACKAGE / "__init__.py")):
        where = f"{_path(file)}, line {line}: an import from {module}, which `check` does not follow"
        raise UserError(f"{where}; allowed: from a module of {PACKAGE.name}.")
    yield from _packages(name)


def _packages(name: str) -> Iterator[str]:
    """A module and the packages that it lies in, which are imported with it."""
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def canonical(tree: ast.AST) -> list[str]:
    """A syntax tree as lines, without docstrings and without what differs between versions of Python.

    These name new fields, which are empty where the old syntax does, and fill old ones in other ways: `None` or an
    empty list, and pieces of f-strings in one or several texts.
    """
    lines: list[str] = []
    _write(tree, lines)
    return lines


def _write(node: ast.AST, lines: list[str]) -> None:
    lines.append(type(node).__name__)
    if isinstance(node, ast.Constant):
        lines.append(f"{type(node.value).__name__} {node.value!a}")
        return
    for field, value in ast.iter_fields(node):
        if field in FOLLOW:
            continue
        if field == "body" and isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        elif isinstance(node, ast.JoinedStr):
            value = _joined(value)
        if value is None or value == []:
            continue
        lines.append(f".{field}")
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST):
                _write(each, lines)
            else:
                lines.append(ascii(each))
        lines.append(".")


def _joined(pieces: list[ast.expr]) -> list[ast.expr]:
    """Neighbouring texts of an f-string as one, and none that is empty."""
    found: list[ast.expr] = []
    for piece in pieces:
        match found, piece:
            case _, ast.Constant(""):
                pass
            case [*_, ast.Constant(str(before))], ast.Constant(str(after)):
                found[-1] = ast.Constant(before + after)
            case _:
                found.append(piece)
    return found
