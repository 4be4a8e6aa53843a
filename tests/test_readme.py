"""The table in the README: filled, checked, and nothing else touched."""

from pathlib import Path

import pytest

from sphreg.readme import END, START, main

TABLE = "| head | median (°) |\n| --- | ---: |\n| sexp | **12.3** \\1 |\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The paths of a README and a table."""
    readme, table = tmp_path / "README.md", tmp_path / "table.md"
    readme.write_text(f"# Title ü\n\n{START}\nold\n{END}\n\nThe end.\n", encoding="utf-8")
    table.write_text(TABLE, encoding="utf-8")
    return [str(readme), str(table)]


def test_fills_in_the_table_between_the_markers(files: list[str]) -> None:
    assert main(files) == 0
    expected = f"# Title ü\n\n{START}\n\n{TABLE}\n{END}\n\nThe end.\n"
    assert Path(files[0]).read_text(encoding="utf-8") == expected
    assert main(files) == 0
    assert Path(files[0]).read_text(encoding="utf-8") == expected


def test_check_fails_until_it_is_filled_and_changes_nothing(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(files[0]).read_bytes()
    assert main([*files, "--check"]) == 1
    assert capsys.readouterr().err == (
        f"{files[0]}: its table is not that of {files[1]}; run `python -m sphreg.readme`.\n"
    )
    assert Path(files[0]).read_bytes() == before
    main(files)
    assert main([*files, "--check"]) == 0
    assert capsys.readouterr() == ("", "")
    Path(files[1]).write_text(TABLE.replace("12.3", "12.4"), encoding="utf-8")
    assert main([*files, "--check"]) == 1


@pytest.mark.parametrize(
    "readme", ["", START, END, f"{END}{START}", f"{START}{START}{END}", f"{START}{END}{END}", f"{END}{START}{END}"]
)
def test_markers_that_do_not_pair_are_an_error(
    files: list[str], readme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(files[0]).write_text(readme)
    assert main(files) == 1
    assert capsys.readouterr().err == f"{files[0]}: there has to be one {START} and one {END} after it.\n"
    assert Path(files[0]).read_text() == readme


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_file_is_named(files: list[str], missing: int, capsys: pytest.CaptureFixture[str]) -> None:
    Path(files[missing]).unlink()
    assert main(files) == 1
    assert capsys.readouterr().err == f"{files[missing]}: it cannot be read: No such file or directory.\n"
