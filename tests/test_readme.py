"""The parts of the documents that stages write: filled in, checked, and nothing else touched."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sphreg.errors import UserError
from sphreg.readme import PARTS, fill, filled, main

ROOT = Path(__file__).parents[1]
TABLE = "| head | median (°) |\n| --- | ---: |\n| sexp | **12.3** \\1 |\n"
START, END = "<!-- table -->", "<!-- /table -->"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with all documents, none of them current; the current folder."""
    monkeypatch.chdir(tmp_path)
    for document, name, source in PARTS:
        for path in document, source:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / document).open("a", encoding="utf-8") as file:
            file.write(f"# Title ü\n\n<!-- {name} -->\nold\n<!-- /{name} -->\n\nThe end.\n")
        (tmp_path / source).write_text(f"{TABLE}{name}\n", encoding="utf-8")
    return tmp_path


def test_fills_in_all_documents(folder: Path) -> None:
    expected: dict[str, str] = {}
    for document, name, _ in PARTS:
        part = f"# Title ü\n\n<!-- {name} -->\n\n{TABLE}{name}\n\n<!-- /{name} -->\n\nThe end.\n"
        expected[document] = expected.get(document, "") + part
    for _ in range(2):
        assert main([]) == 0
        assert {name: (folder / name).read_text(encoding="utf-8") for name in expected} == expected


def test_check_says_each_part_that_is_not_current_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {document: (folder / document).read_bytes() for document, _, _ in PARTS}
    assert main(["--check"]) == 1
    sentences = [f"{document}: its {name} is not that of {source}; " for document, name, source in PARTS]
    assert capsys.readouterr().err == "".join(f"{said}run `python -m sphreg.readme`.\n" for said in sentences)
    assert {document: (folder / document).read_bytes() for document, _, _ in PARTS} == before
    main([])
    assert main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("document", "name", "source"), PARTS)
def test_check_sees_one_changed_number(
    folder: Path, document: str, name: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([])
    (folder / source).write_text(f"{TABLE.replace('12.3', '12.4')}{name}\n", encoding="utf-8")
    assert main(["--check"]) == 1
    assert capsys.readouterr().err.startswith(f"{document}: its {name} is not that of {source};")


def test_parts_of_one_document_do_not_touch_each_other() -> None:
    document = "a <!-- one --><!-- /one --> b <!-- two --><!-- /two --> c"
    for _ in range(2):
        document = filled(filled(document, "two", "2"), "one", "1")
    assert document == "a <!-- one -->\n\n1\n\n<!-- /one --> b <!-- two -->\n\n2\n\n<!-- /two --> c"


@pytest.mark.parametrize(
    "text", ["", START, END, f"{END}{START}", f"{START}{START}{END}", f"{START}{END}{END}", f"{END}{START}{END}"]
)
def test_markers_that_do_not_pair_are_an_error(tmp_path: Path, text: str) -> None:
    document, source = tmp_path / "README.md", tmp_path / "table.md"
    document.write_text(text)
    source.write_text(TABLE, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        fill(document, "table", source, check=False)
    assert str(raised.value) == f"{document}: there has to be one {START} and one {END} after it."
    assert document.read_text() == text


@pytest.mark.parametrize(("document", "name", "source"), PARTS)
def test_a_missing_file_is_named_and_the_others_are_filled_in(
    folder: Path, document: str, name: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / source).unlink()
    assert main([]) == 1
    assert capsys.readouterr().err == f"{source}: it cannot be read (No such file or directory).\n"
    for other, part, _ in PARTS:
        assert (f"{TABLE}{part}\n" in (folder / other).read_text(encoding="utf-8")) == (part != name)


def test_a_document_that_is_no_text_is_an_error_in_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / PARTS[0][0]).write_bytes(b"\xff")
    assert main(["--check"]) == 1
    assert f"{PARTS[0][0]} or {PARTS[0][2]}: it is no text in UTF-8" in capsys.readouterr().err


def test_as_a_person_runs_it(folder: Path) -> None:
    command = [sys.executable, "-m", "sphreg.readme"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.run([*command, "--check"], capture_output=True, env=environment).returncode == 1
    assert subprocess.run(command, capture_output=True, env=environment).returncode == 0
    assert subprocess.run([*command, "--check"], capture_output=True, env=environment).returncode == 0


@pytest.mark.parametrize("document", ["README.md", "data/README.md"])
def test_pictures_of_the_documents_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    paths = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert paths and [path for path in paths if not (ROOT / document).parent.joinpath(path).is_file()] == []
