"""Texts in Markdown, shown as they are: whatever a category or a file is called is not taken for Markdown or HTML."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sphreg.errors import printable


class Markup(str):
    """What is Markdown already."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """A text in one line, of which nothing is taken for Markdown, HTML or a formula; also for the inside of emphasis.

    What begins a line may still be taken for a heading or a list there.
    """
    line = printable(" ".join(str(text).split()))
    return Markup(re.sub(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line))


def code(text: object) -> Markup:
    """A text in one line, as code."""
    line = printable(" ".join(str(text).split()))
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return Markup(f"{fence} {line} {fence}" if "`" in (line[:1], line[-1:]) else f"{fence}{line}{fence}")


def table(heading: Sequence[object], rows: Iterable[Sequence[object]], numeric: Sequence[bool] | None = None) -> str:
    """A table.

    Args:
        heading: of each column.
        rows: numbers, shown with their thousands apart; texts, which are escaped; or Markup.
        numeric: of each column, whether it is flush right; without it all but the first are.
    """
    numeric = numeric or [place > 0 for place in range(len(heading))]
    rule = [Markup("---:" if right else "---") for right in numeric]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in [heading, rule, *rows])


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:,.1f}".removesuffix(".0")
    text = value if isinstance(value, Markup) else escape(value)
    return re.sub(r"(?<!\\)\|", r"\\|", text)  # in code, too, a line alone would end the cell
