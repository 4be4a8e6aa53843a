"""Stage `evaluate`: the test of one task with one head."""

import sys
from pathlib import Path

from sphreg import checksums
from sphreg.config import Params
from sphreg.evaluation import evaluate
from sphreg.files import write_whole
from sphreg.model import Model
from sphreg.modelcard import write_card
from sphreg.results import read_log
from sphreg.samples import Samples
from stages import run


def main(params: Params, model: Path, data: Path, out: Path) -> None:
    """Score the model in the folder MODEL on the test views of the dataset DATA; write what it found to OUT."""
    checksums.check_if_any(model, ["log.csv"])
    read_log(model / "log.csv")
    trained = Model.load(model / f"{params.evaluate.weights}.safetensors", params.train.device)
    samples = Samples.read(data, "test", trained.task.points is None, trained.config.categories)
    (out / checksums.NAME).unlink(missing_ok=True)  # what it says of an earlier test is about to change
    evaluate(trained, samples, out, params.evaluate.batch)
    write_whole(out / "log.csv", (model / "log.csv").read_bytes())
    write_card(trained.config, model, params.evaluate.weights, data, out)
    checksums.write_checksums(out)


if __name__ == "__main__":
    sys.exit(run(main))
