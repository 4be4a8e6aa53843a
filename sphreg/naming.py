"""What tells the rows of a comparison from each other, as a part of their names."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sphreg.info import Info
from sphreg.runs import Run, flatten

SHOWN = 4  # settings, in a name


def differences(runs: Sequence[Run], infos: Sequence[Info]) -> list[str]:
    """Of each run the settings, and what of its dataset, that others do not have: `lr 0.1, data render.size 96`.

    Where one head alone was trained with several values, the other heads do not name the one that they share with it.

    Args:
        runs: of one task, each of another row.
        infos: the `info.json` of the dataset of each.
    """
    known = [run.settings | described for run, described in zip(runs, _described(runs, infos), strict=True)]
    values: dict[str, dict[str, list[Any]]] = {}  # by setting and head
    for name in sorted({name for settings in known for name in settings}):
        values[name] = defaultdict(list)
        for run, settings in zip(runs, known, strict=True):
            values[name][run.head].append(settings.get(name))
    texts = []
    for run, settings in zip(runs, known, strict=True):
        parts = [
            f"{_short(name, run)} {_shown(settings[name]) if name in settings else 'not set'}"
            for name in values
            if _tells(name, run.head, settings.get(name), values[name])
        ]
        more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
        texts.append(", ".join(parts[:SHOWN]) + more)
    return texts


def _tells(name: str, head: str, value: Any, values: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a setting tells a row with this head and value from others; `values` has those of all heads."""
    of_heads = name.startswith("head_settings.")
    if of_heads and not name.startswith(f"head_settings.{head}."):
        return False
    if any(other != value for other in values[head]):
        return True
    return not of_heads and any(value not in of_head for of_head in values.values())


def _described(runs: Sequence[Run], infos: Sequence[Info]) -> list[dict[str, Any]]:
    """The datasets, where there are several: by what their `info.json` says, or else by a checksum."""
    if len({_checksum(run) for run in runs}) == 1:
        return [{} for _ in runs]
    described = [{f"data {name}": value for name, value in flatten(info.model_dump()).items()} for info in infos]
    if all(other == described[0] for other in described):
        return [{"data": _checksum(run)} for run in runs]
    return described


def _checksum(run: Run) -> str:
    return hashlib.sha256(json.dumps(run.data, sort_keys=True).encode()).hexdigest()[:8]


def _short(name: str, run: Run) -> str:
    return name.removeprefix(f"train.{run.task}.").removeprefix(f"head_settings.{run.head}.{run.task}.")


def _shown(value: Any) -> str:
    """As `params.yaml` has it."""
    return value if isinstance(value, str) else json.dumps(value)
