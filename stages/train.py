"""Stage `train`: one task with one head."""

from pathlib import Path

from sphreg.config import Params
from sphreg.model import ModelConfig
from sphreg.samples import Samples
from sphreg.training import train
from stages import run


def main(params: Params, task: str, head: str, data: Path, out: Path) -> None:
    """Train the task TASK with the head HEAD on the packed dataset DATA; write weights, config and log to OUT."""
    samples = Samples.read(data, "train", with_normals=task == "normals")
    train(ModelConfig.of(params, task, head, samples.categories), samples, out)


if __name__ == "__main__":
    run(main)
