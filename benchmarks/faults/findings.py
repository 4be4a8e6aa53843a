"""What a broken run or file may lead to, and how a process that ended is judged."""

from dataclasses import dataclass
from enum import Enum

from benchmarks.faults.children import Ended


class Outcome(Enum):
    """What one case led to."""

    SAME = "same"  # the same bytes as without the fault
    SENTENCE = "sentence"  # a reason, and status 1
    ALLOWED = "allowed"  # other bytes, for a reason that `allowed` knows
    SILENT = "silent"  # other bytes with status 0
    TRACEBACK = "traceback"  # or another status
    CRASH = "crash"  # by a signal
    HANG = "hang"
    MEMORY = "memory"  # more than a reader may take


GOOD = Outcome.SAME, Outcome.SENTENCE, Outcome.ALLOWED


@dataclass(frozen=True)
class Finding:
    """What became of a case.

    Attributes:
        part: of the campaign, as `--only` has it.
        group: a row of the table.
        case: as `--case` has it.
        said: what tells why, in a line.
        count: of cases that were alike.
    """

    part: str
    group: str
    case: str
    outcome: Outcome
    said: str = ""
    count: int = 1


def judge(ended: Ended, same: bool) -> tuple[Outcome, str]:
    """The outcome of a process, and what tells why: the last line that it printed.

    Args:
        ended: the process.
        same: whether its outputs are those of a run without a fault.
    """
    lines = [line for line in ended.said.replace("\r", "\n").splitlines() if line.strip()] or [""]
    if ended.status is None:
        return Outcome.HANG, lines[-1]
    if ended.status < 0:
        return Outcome.CRASH, f"signal {-ended.status}"
    if "Traceback (most recent call last)" in ended.said:
        return Outcome.TRACEBACK, lines[-1]
    if ended.status == 0:
        return (Outcome.SAME, "") if same else (Outcome.SILENT, "other bytes")
    if ended.status == 1 and lines[-1]:
        return Outcome.SENTENCE, lines[-1]
    return Outcome.TRACEBACK, f"status {ended.status}: {lines[-1]}"
