"""The training loop."""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, MultiStepLR, OneCycleLR
from tqdm import tqdm

from sphreg.config import Training
from sphreg.errors import UserError
from sphreg.model import Model, ModelConfig
from sphreg.samples import Batch, Samples


def train(config: ModelConfig, samples: Samples, out: Path) -> None:
    """Train a model; write `last.safetensors`, `best.safetensors`, their `config.json` and `log.csv` to `out`.

    The log has a row per epoch:
        lr: the learning rate of its last step.
        loss, and each of its parts: means over the steps.
        grad_norm: the norm of dl/do, for the loss l of a point and its raw outputs o: summed over the points of an
            image, or averaged over the pixels; the mean over the steps. grad_norm_cv: the standard deviation over the
            steps, divided by that mean. The paper's argument for S_exp is that this norm stays steady.
        validation_median_deg: the median error on the held-out meshes. The lowest tells the best weights; without
            held-out meshes it is NaN, and the last weights are the best.
        images_per_s: of training, without validation.

    Raises:
        UserError: the loss is not finite any more.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings = config.train
    learned, held_out = samples.hold_out(settings.validation)
    order = torch.Generator().manual_seed(config.seed)
    log: list[dict[str, float]] = []
    with torch.random.fork_rng():  # of the initial weights and of dropout
        torch.manual_seed(config.seed)
        model = Model(config)
        steps_per_epoch = max(1, len(learned) // settings.batch)  # a rest of a few images would be a noisy step
        length = settings.steps(steps_per_epoch)
        epochs = math.ceil(length / steps_per_epoch)
        optimizer, schedule = optimization(model.network, settings, length)
        for epoch in range(1, epochs + 1):
            model.network.train()
            steps, start = [], time.perf_counter()
            rest = length - (epoch - 1) * steps_per_epoch  # iterations may end within an epoch
            batches = torch.randperm(len(learned), generator=order).split(settings.batch)[:steps_per_epoch][:rest]
            for rows in tqdm(batches, f"epoch {epoch}/{epochs}", unit="batch", leave=False, disable=None):
                lr = optimizer.param_groups[0]["lr"]
                steps.append(step(model, optimizer, learned.batch(rows).to(model.device)))
                schedule.step()
            seconds = time.perf_counter() - start
            row = {"epoch": epoch, "lr": lr} | summary(steps)
            if not math.isfinite(row["loss"]):
                raise UserError(f"the loss is {row['loss']} in epoch {epoch}; try a lower train.{config.task}.lr.")
            row |= {
                "validation_median_deg": median_error(model, held_out),
                "images_per_s": sum(map(len, batches)) / seconds,
            }
            log.append(row)
            print(", ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
            pd.DataFrame(log).to_csv(out / "log.csv", index=False)
            model.save(out / "last.safetensors")
            if not row["validation_median_deg"] > min(past["validation_median_deg"] for past in log):  # or it is NaN
                model.save(out / "best.safetensors")


def optimization(network: nn.Module, settings: Training, steps: int) -> tuple[Optimizer, LRScheduler]:
    """The optimizer, and the schedule that is stepped after each of so many batches."""
    optimizers: dict[str, Callable[..., Optimizer]] = {"adamw": AdamW, "adam": Adam, "sgd": partial(SGD, momentum=0.9)}
    optimizer = optimizers[settings.optimizer](
        network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    match settings.schedule:
        case "onecycle":
            return optimizer, OneCycleLR(optimizer, settings.lr, steps)
        case "thirds":
            return optimizer, MultiStepLR(optimizer, [math.ceil(steps / 3), math.ceil(2 * steps / 3)])
        case "constant":
            return optimizer, ConstantLR(optimizer, factor=1)


def step(model: Model, optimizer: Optimizer, batch: Batch) -> dict[str, Tensor]:
    """One step of training; what it has to report stays on the device, so that nothing waits for it."""
    raw = model.raw(batch)
    raw.retain_grad()
    losses = model.head.loss(raw, model.task.targets(batch.truth).to(raw))
    parts = {name: model.task.reduce(loss, batch.truth) for name, loss in losses.items()}
    loss = torch.stack(list(parts.values())).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    assert raw.grad is not None
    return (
        {"loss": loss.detach()}
        | {name: part.detach() for name, part in parts.items()}
        | {"grad_norm": raw.grad.norm(dim=-1).sum()}
    )


def summary(steps: list[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of each value over the steps, and the coefficient of variation of the gradient norm."""
    values = pd.DataFrame([{name: value.item() for name, value in step.items()} for step in steps])
    means = {str(name): mean for name, mean in values.mean(skipna=False).items()}
    return means | {"grad_norm_cv": values["grad_norm"].std(ddof=0, skipna=False) / means["grad_norm"]}


def median_error(model: Model, samples: Samples) -> float:
    """The median error in degrees, over images or pixels; NaN without any."""
    errors = [
        model.task.error(model.task.answer(points.to(batch.truth)), batch.truth)[model.task.mask(batch.truth)]
        for batch, points in model.points(samples, model.config.train.batch)
    ]
    return math.degrees(torch.cat(errors).median()) if errors else math.nan
