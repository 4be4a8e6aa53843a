"""Keep the documents current: `python -m sphreg.readme` fills in what stages wrote; `--check` only sees whether it is.

A part called NAME stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

import argparse
import re
import sys
from pathlib import Path

from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.program import program

# Of each part: the document, the name and the file that it is taken from.
PARTS = (
    ("README.md", "teaser", "metrics/heads/teaser.md"),
    ("README.md", "table", "metrics/table.md"),
    ("README.md", "figures", "metrics/heads/figures.md"),
    ("README.md", "seeds", "metrics/seeds.md"),
    ("README.md", "report", "benchmarks/report.md"),
    ("README.md", "training", "benchmarks/train.md"),
    ("README.md", "evaluation", "benchmarks/evaluation.md"),
    ("README.md", "performance", "benchmarks/render.md"),
    ("README.md", "reading", "benchmarks/views.md"),
    ("data/README.md", "card", "metrics/dataset/card.md"),
)


def filled(document: str, name: str, part: str) -> str:
    """The text `document` with `part` between the markers of this name, instead of what stands there.

    Raises:
        UserError: there is not one start and, after it, one end, or the part holds a marker; the reason alone.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = document.partition(start)
    _, found, after = rest.partition(end)
    if not found or start in rest or end in before + after:
        raise UserError(f"there has to be one {start} and one {end} after it")
    if marker := re.search("<!-- /?[a-z]+ -->", part):
        raise UserError(f"the part {name} holds the marker {marker[0]}, allowed: text without markers")
    return f"{before}{start}\n\n{part.strip()}\n\n{end}{after}"


def fill(document: Path, name: str, source: Path, check: bool) -> None:
    """Fill in one part, or only check it.

    Raises:
        UserError: a file cannot be read or written, the markers are not as they should be, or the part is not current.
    """
    try:
        old, part = document.read_text(encoding="utf-8"), source.read_text(encoding="utf-8")
        new = filled(old, name, part)
    except OSError as error:
        raise UserError(f"{error.filename}: it cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{document} or {source}: it is no text in UTF-8 ({error}).") from None
    except UserError as error:
        raise UserError(f"{document}: {error}.") from None
    if check and new != old:
        raise UserError(f"{document}: its {name} is not that of {source}; run `python -m sphreg.readme`.")
    if new != old:
        write_whole(document, new.encode())


@program
def main(argv: list[str] | None = None) -> int:
    """Fill in or check all parts. Status 1, and a sentence for each, where some are not current or cannot be."""
    parser = argparse.ArgumentParser(prog="python -m sphreg.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if something is not current")
    check = parser.parse_args(argv).check
    status = 0
    for document, name, source in PARTS:
        try:
            fill(Path(document), name, Path(source), check)
        except UserError as error:
            print(error, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
