"""Stage `train`: one task with one head."""

from pathlib import Path

from sphreg.config import Params
from sphreg.model import ModelConfig
from sphreg.samples import Samples, categories_of
from sphreg.training import train
from stages import run


def main(params: Params, task: str, head: str, data: Path, out: Path) -> None:
    """Train the task TASK with the head HEAD on the packed dataset DATA; write weights, config and log to OUT."""
    config = ModelConfig(
        task=task,
        head=head,
        categories=categories_of(data),
        seed=params.seed,
        train=getattr(params.train, task),
        head_settings=params.head_settings[head].get(task, {}),
    )
    train(config, Samples.read(data, "train", config.categories, with_normals=task == "normals"), out)


if __name__ == "__main__":
    run(main)
