"""Stage `check`: every setting, before any work is done."""

from pathlib import Path

from sphreg.config import Params, check_heads
from sphreg.errors import UserError
from stages import run


def main(params: Params, out: Path) -> None:
    """Check params.yaml; write a marker to OUT."""
    folder = params.meshes.folder.path
    if not Path(folder).is_dir():  # for any source, as DVC watches it
        raise UserError(f"params.yaml: meshes.folder.path is {folder!r}, allowed: a folder that exists.")
    for task, settings in params.train:
        if settings.weights not in (None, "imagenet") and not Path(settings.weights).is_file():
            where = f"params.yaml: train.{task}.weights is {settings.weights!r}"
            raise UserError(f"{where}, allowed: null, imagenet or a file that exists.")
    check_heads(params, "params.yaml")
    out.write_text("All settings are known and allowed.\n")


if __name__ == "__main__":
    run(main)
