"""The page of results: a section for each phase, which its next run replaces."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sphreg.files import write_whole

TITLE = "# On a GPU\n\nWritten by `python -m benchmarks.gpu`, section by section."


@dataclass(frozen=True)
class Section:
    """What a phase found, as it stands on the page.

    Attributes:
        title: of the section.
        note: how it was run.
        rows: the file that `Report` writes to.
    """

    title: str
    note: str
    rows: Path

    def text(self) -> str:
        """The section in Markdown."""
        found = self.rows.read_text(encoding="utf-8") if self.rows.is_file() else "Nothing was found."
        return f"## {self.title}\n\n{self.note}\n\n{found.strip()}"


class Report:
    """Where a phase says what it found: in a file, at once, as the process may be ended at any time."""

    def __init__(self, path: Path):
        self.path = path

    def say(self, text: str) -> None:
        """A paragraph."""
        self._write(f"\n{text}\n")

    def table(self, *headings: str) -> None:
        """Begin a table; the first column is of texts."""
        self.say(f"| {' | '.join(headings)} |\n| --- |{' ---: |' * (len(headings) - 1)}")

    def row(self, *cells: str) -> None:
        """A row of the table."""
        self._write(f"| {' | '.join(cells)} |\n")

    def rows(self, rows: Iterable[Sequence[str]]) -> None:
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
    sections[f"## {section.title}"] = section.text()
    write_whole(path, "\n\n".join([TITLE, *(sections[title] for title in sorted(sections))]).encode() + b"\n")
