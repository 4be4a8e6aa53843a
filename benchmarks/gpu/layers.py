"""The time of each layer of a network, beside what the card's arithmetic and memory allow."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.setting import Setting
from sphreg.training import Run

MOST = 12  # rows


@dataclass(frozen=True)
class Layer:
    """A layer, as far as its time goes."""

    what: str
    shape: tuple[int, ...]


def layers(setting: Setting, training: Run, peak: float, bandwidth: float) -> Iterator[tuple[str, ...]]:
    """A row for each kind of layer that takes the most time.

    The bound is the larger of two times: of the multiplications at the peak, and of the memory: forward reads the input
    and the weights and writes the output; backward reads the gradient of the output, input and weights, and writes
    their gradients.

    Args:
        setting: the phase's.
        training: whose network it is.
        peak: FLOP/s.
        bandwidth: bytes a second.
    """
    settings = training.model.config
    shape = (settings.train.batch, 1, settings.size, settings.size)
    seen: Counter[Layer] = Counter()
    modules: dict[Layer, nn.Module] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layer = Layer(described(module), tuple(inputs[0].shape))
        seen[layer] += 1
        modules[layer] = module

    leaves = [module for module in training.model.network.modules() if not list(module.children())]
    handles = [module.register_forward_hook(note) for module in leaves]
    images = torch.zeros(shape, dtype=torch.uint8, device=setting.device)
    with torch.no_grad():
        training.model.network(images, torch.zeros(shape[0], dtype=torch.long, device=setting.device))
    for handle in handles:
        handle.remove()
    found = []
    for layer, times in seen.items():
        run, inputs, output = prepared(modules[layer], layer.shape, setting.device)
        with FlopCounterMode(display=False) as counter:
            run()
        weights = sum(weight.numel() for weight in modules[layer].parameters())
        arithmetic = counter.get_total_flops() / peak
        memory = 2 * (3 * inputs + 2 * output + 3 * weights) / bandwidth
        seconds = 1 / setting.rate(run, 0.05)
        found.append((times * seconds, times, layer, max(arithmetic, memory), arithmetic > memory))
    total, bound = sum(one[0] for one in found), sum(one[1] * one[3] for one in found)
    yield "all, added up", "", str(sum(seen.values())), f"{1e3 * total:.2f}", f"{1e3 * bound:.2f}", ""
    for seconds, times, layer, least, arithmetic in sorted(found, key=lambda one: -one[0])[:MOST]:
        by = "arithmetic" if arithmetic else "memory"
        size = " x ".join(map(str, layer.shape))
        yield layer.what, size, str(times), f"{1e3 * seconds:.2f}", f"{1e3 * times * least:.2f}", by


def described(module: nn.Module) -> str:
    """A layer's name with its sizes, without what they do not depend on."""
    return repr(module).replace(", inplace=True", "").replace("inplace=True", "")


def prepared(module: nn.Module, shape: tuple[int, ...], device: str) -> tuple[Callable[[], None], int, int]:
    """What runs a layer forward and backward on random numbers, and how many numbers go in and come out."""
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    given = torch.randn(shape, device=device, dtype=torch.bfloat16).contiguous(memory_format=layout).requires_grad_()
    module.inplace = False  # a leaf cannot be changed
    cast = torch.autocast(device, torch.bfloat16)
    with cast:
        output = module(given)
    gradient = torch.randn_like(output)

    def run() -> None:
        with cast:
            result = module(given)
        result.backward(gradient)
        given.grad = None
        module.zero_grad()

    return run, given.numel(), output.numel()
