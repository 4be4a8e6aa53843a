"""Rows of the tables of results: what, a value with its unit, and what it is held against."""


def row(what: str, value: float, unit: str, ratio: str = "") -> str:
    """A row in Markdown."""
    return f"| {what} | {value:,.{0 if value >= 20 else 1}f} {unit} | {ratio} |"


def missed(is_missed: bool, goal: str) -> str:
    """The remark that a goal is missed, if it is."""
    return f", the goal of {goal} is missed" if is_missed else ""
