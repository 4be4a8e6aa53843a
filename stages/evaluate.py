"""Stage `evaluate`: the test of one task with one head."""

import shutil
from pathlib import Path

from sphreg.config import Params
from sphreg.evaluation import evaluate
from sphreg.model import Model
from sphreg.modelcard import write_card
from sphreg.samples import Samples
from stages import run


def main(params: Params, model: Path, data: Path, out: Path) -> None:
    """Score the model in the folder MODEL on the test views of the dataset DATA; write tables and a card to OUT."""
    trained = Model.load(model / f"{params.evaluate.weights}.safetensors", params.train.device)
    samples = Samples.read(data, "test", trained.task.points is None, trained.config.categories)
    evaluate(trained, samples, out, params.evaluate.batch)
    shutil.copy(model / "log.csv", out)
    write_card(trained.config, model, params.evaluate.weights, data, out)


if __name__ == "__main__":
    run(main)
