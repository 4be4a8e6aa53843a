"""The sets of changes in `presets/` as options: `dvc exp run -n NAME $(python -m sphreg.presets NAME)`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphreg.config import load, read
from sphreg.errors import UserError
from sphreg.program import program


def options(differences: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """`-S a.b=value` for each value that differs, in the grammar of Hydra, which has lists and null but no quotes."""
    for key, value in differences.items():
        if isinstance(value, dict):
            yield from options(value, f"{prefix}{key}.")
        else:
            text = json.dumps(value, separators=(",", ":")).replace('"', "")
            yield f"-S {prefix}{key}={text}"


def find_preset(name: str) -> Path:
    """The file of a preset.

    Raises:
        UserError: there is no such preset.
    """
    known = {path.stem: path for path in sorted(Path("presets").glob("*.yaml"))}
    if name not in known:
        raise UserError(f"the preset is {name or 'missing'}, allowed: {', '.join(known)}.")
    return known[name]


@program
def main(argv: list[str]) -> None:
    """Print the options of one preset."""
    preset = find_preset(" ".join(argv))
    load("params.yaml", differences=preset)
    print(*options(read(preset)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
