"""The page of results: a row of the table for each kind of case, then what is allowed, then each fault."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

from benchmarks.faults.allowed import ALLOWED
from benchmarks.faults.findings import GOOD, Finding, Outcome
from benchmarks.rounds import machine

CLOCKS = {
    "log.csv": "Its columns `images_per_s` and `threads` tell of the machine and the moment, and are not compared."
}
MOST = 200  # faults that are listed
PARTS = {
    "kills": "Killed at any moment, and run again",
    "pairs": "Two at once",
    "inputs": "An input that is broken",
    "fuzz": "Files that were changed at random, by their reader; `allowed`: it is read as another file",
}


def page(findings: Sequence[Finding], command: Sequence[str], seed: int, notes: Sequence[str] = ()) -> str:
    """The page in Markdown.

    Args:
        findings: of all parts.
        command: that made it.
        seed: of all that is drawn.
        notes: what else is to be said.
    """
    parts = [
        f"`{shlex.join(command)}` on {machine()}; {date.today():%Y-%m-%d}.",
        "Each case ends in one of: the `same` bytes as without the fault; a `sentence` that says why, and status 1; "
        "other bytes that are `allowed`, for the reasons below. The last five are faults.",
        *(_table(title, [each for each in findings if each.part == part]) for part, title in PARTS.items()),
        *notes,
        "What may differ without a word, by program, input and damage:",
        "\n".join(f"- `{pattern}`: {why}" for pattern, why in (ALLOWED | CLOCKS).items()),
    ]
    if alike := list(distinct(findings)):
        parts.append(f"Faults, one of each kind{f', {MOST} of {len(alike)} kinds' if len(alike) > MOST else ''}:")
        parts.append("\n".join(_line(faults, seed) for faults in alike[:MOST]))
    return "\n\n".join(part for part in parts if part) + "\n"


def faulty(findings: Sequence[Finding]) -> list[Finding]:
    """What is none of what the house promises."""
    return [each for each in findings if each.outcome not in GOOD]


def distinct(findings: Sequence[Finding]) -> Iterable[list[Finding]]:
    """The faults, those together that concern the same input, or that raise the same."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for fault in faulty(findings):
        what = "".join(fault.case.rpartition(":")[:2]) if fault.part == "inputs" else fault.said.partition(":")[0]
        alike.setdefault((fault.part, fault.group, fault.outcome.value, what), []).append(fault)
    return alike.values()


def repeat(fault: Finding, seed: int) -> str:
    """The command that repeats a case."""
    command = ["uv", "run", "python", "-m", "benchmarks.faults", "--only", fault.part, "--case", fault.case]
    return shlex.join([*command, *(["--seed", str(seed)] if seed else [])])


def _table(title: str, findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    names = [outcome.value for outcome in Outcome]
    lines = [f"| {title} | tried | {' | '.join(names)} |", f"| --- |{' ---: |' * (1 + len(names))}"]
    for group in sorted({each.group for each in findings}):
        counts = Counter[Outcome]()
        for each in findings:
            if each.group == group:
                counts[each.outcome] += each.count
        cells = [group, *(f"{count:,}" for count in (counts.total(), *(counts[outcome] for outcome in Outcome)))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _line(faults: Sequence[Finding], seed: int) -> str:
    fault, *others = faults
    said = " ".join(fault.said.split())[:200].replace("`", "'")
    more = f" ({len(others)} more like it)" if others else ""
    return f"- {fault.outcome.value}: `{repeat(fault, seed)}`: {said}{more}"
