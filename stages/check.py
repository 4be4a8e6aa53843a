"""Stage `check`: every setting, before any work is done."""

from pathlib import Path

from sphreg.config import Params, check_heads
from sphreg.errors import UserError
from stages import run


def main(params: Params, out: Path) -> None:
    """Check params.yaml; write a marker to OUT."""
    folder = Path(params.meshes.folder.path)
    if params.meshes.source == "folder" and not folder.is_dir():
        raise UserError(f"params.yaml: meshes.folder.path is {str(folder)!r}, allowed: a folder that exists.")
    check_heads(params, "params.yaml")
    out.write_text("All settings are known and allowed.\n")


if __name__ == "__main__":
    run(main)
