"""One step of training, what it needs, and the error on held-out meshes that tells how far it came."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, MultiStepLR, OneCycleLR

from sphreg.config import Training
from sphreg.model import Model
from sphreg.samples import Batch, Samples


def length(settings: Training, per_epoch: int) -> int:
    """How many batches a training has, with so many in an epoch."""
    if settings.epochs is not None:
        return settings.epochs * per_epoch
    assert settings.iterations is not None
    return settings.iterations


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


def step(model: Model, network: nn.Module, optimizer: Optimizer, batch: Batch) -> dict[str, Tensor]:
    """One step of training; what it has to report stays on the device, so that nothing waits for it.

    Args:
        model: what is trained.
        network: its network, or what shares the work of it with other processes.
        optimizer: of the network's weights.
        batch: this process's part, on the device.
    """
    raw = model.raw(batch, network)
    raw.retain_grad()
    losses = model.head.loss(raw, model.task.targets(batch.truth).to(raw))
    # Gradients are averaged over the processes, which may have different numbers of pixels.
    count = model.accelerator.reduce(model.task.mask(batch.truth).sum().float(), "mean").clamp(min=1)
    parts = {name: model.task.total(loss, batch.truth) / count for name, loss in losses.items()}
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


def median_error(model: Model, samples: Samples) -> float:
    """The median error in degrees, over images or pixels; NaN without any."""
    errors = [
        model.task.error(model.task.answer(points.to(batch.truth)), batch.truth)[model.task.mask(batch.truth)]
        for batch, points in model.points(samples, model.config.train.batch)
    ]
    return math.degrees(torch.cat(errors).median()) if errors else math.nan
