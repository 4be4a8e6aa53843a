"""Stage `train`: one task with one head."""

import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.errors import UserError
from sphreg.info import read_info
from sphreg.model import ModelConfig
from sphreg.samples import Samples
from sphreg.training import train
from stages import SCRATCH, run


def main(params: Params, task: str, head: str, data: Path, out: Path) -> None:
    """Train the task TASK with the head HEAD on the packed dataset DATA; write weights, config and log to OUT."""
    info = read_info(data)
    if untrained := [name for name, counts in info.counts["train"].items() if not counts.views]:
        raise UserError(
            f"{data}: the test has the category {untrained[0]!r}, of which the training has no mesh; give it some, or "
            "leave the category out (meshes.categories)."
        )
    samples = Samples.read(data, "train", with_normals=task == "normals", categories=info.categories)
    config = ModelConfig.of(params, task, head, info.categories, info.render.size)
    train(config, samples, out, params.train, SCRATCH / "train")


if __name__ == "__main__":
    sys.exit(run(main))
