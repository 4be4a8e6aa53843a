"""Keep the table in the README current: `python -m sphreg.readme`, or with `--check` only see whether it is."""

import argparse
import sys
from pathlib import Path

from sphreg.errors import UserError
from sphreg.files import write_whole

START, END = "<!-- table -->", "<!-- /table -->"


def filled(readme: str, table: str) -> str:
    """The text `readme` with `table` between its markers, instead of what stands there.

    Raises:
        UserError: there is not one START and, after it, one END.
    """
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not end or START in rest or END in before + after:
        raise UserError(f"there has to be one {START} and one {END} after it")
    return f"{before}{start}\n\n{table.strip()}\n\n{end}{after}"


def main(argv: list[str] | None = None) -> int:
    """Fill the README, or check it; the status is 1 where it is not current, or cannot be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readme", type=Path, nargs="?", default=Path("README.md"))
    parser.add_argument("table", type=Path, nargs="?", default=Path("metrics/table.md"))
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if the table is not current")
    arguments = parser.parse_args(argv)
    try:
        old = arguments.readme.read_text(encoding="utf-8")
        new = filled(old, arguments.table.read_text(encoding="utf-8"))
    except OSError as error:
        return _failure(f"{error.filename}: it cannot be read: {error.strerror}.")
    except UserError as error:
        return _failure(f"{arguments.readme}: {error}.")
    if arguments.check and new != old:
        return _failure(
            f"{arguments.readme}: its table is not that of {arguments.table}; run `python -m sphreg.readme`."
        )
    if new != old:
        write_whole(arguments.readme, new.encode())
    return 0


def _failure(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
