"""The page of results: a section for each phase, which its next run replaces."""

import re
from collections.abc import Sequence
from pathlib import Path

from sphreg.files import write_whole

TITLE = "# On a GPU\n\nWritten by `python -m benchmarks.gpu`, section by section."


class Section:
    """What a phase found, as it stands on the page.

    Attributes:
        title: of the section.
        rows: the file that `Report` writes to.
        note: how it was run.
    """

    def __init__(self, title: str, rows: Path):
        self.title, self.rows, self.note = title, rows, ""

    def text(self) -> str:
        """The section in Markdown."""
        found = self.rows.read_text(encoding="utf-8") if self.rows.is_file() else "Nothing was found.\n"
        return f"## {self.title}\n\n{self.note}\n\n{found.strip()}"


class Report:
    """Where a phase says what it found: in a file, at once, as the process may be ended at any time."""

    def __init__(self, path: Path):
        self.path, self.in_table = path, False

    def say(self, text: str) -> None:
        """A paragraph."""
        self._write(f"\n{text}\n")
        self.in_table = False

    def table(self, *headings: str) -> None:
        """Begin a table; the first column is of texts."""
        self.say(f"| {' | '.join(headings)} |\n| --- |{' ---: |' * (len(headings) - 1)}")
        self.in_table = True

    def row(self, *cells: str) -> None:
        """A row of the table."""
        self._write(f"| {' | '.join(cells)} |\n")

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Some rows of the table."""
        for row in rows:
            self.row(*row)

    def _write(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
        print(text, end="", flush=True)


def replace(path: Path, section: Section) -> None:
    """Put a section into the page, in the order of titles, in place of the one with the same title."""
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    _, *parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    sections = {part.splitlines()[0]: part.strip() for part in parts}
    sections[f"## {section.title}"] = section.text().strip()
    write_whole(path, "\n\n".join([TITLE, *(sections[title] for title in sorted(sections))]).encode() + b"\n")
