"""The training loop."""

import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import torch
from accelerate.utils import broadcast, broadcast_object_list
from torch import nn
from tqdm import tqdm

from sphreg import checkpoint
from sphreg.checksums import write_checksums
from sphreg.config import Train
from sphreg.cores import Cores
from sphreg.devices import accelerator, check_device, out_of_memory, seed
from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.loading import Shuffled, kept, loader, lost, processes
from sphreg.locks import alone
from sphreg.model import Model, ModelConfig
from sphreg.samples import Batch, Samples
from sphreg.scratch import tidy
from sphreg.step import length, median_error, optimization, step

STATE = ("done", "seconds", "names", "values", "log")  # what a checkpoint has of a run, beside network and optimizer
LOOK = 20  # steps between two looks at the losses, for which the device is waited for


def train(config: ModelConfig, samples: Samples, out: Path, settings: Train, scratch: Path) -> None:
    """Train a model; write `last.safetensors`, `best.safetensors`, their `config.json`, `log.csv` and `SHA256SUMS`.

    A training that was killed goes on from its last checkpoint, to the same weights: on the CPU bit for bit, with the
    same number of threads (see `Cores`). Results stay in `scratch`, but for old ones, and are not trained again, as
    whoever called this may be killed before it has recorded them.

    Processes that were launched together share each batch. They end with the same weights as one process would, but for
    rounding, and but for dropout and batch normalisation, whose mean and variance are those of a process's part of a
    batch.

    The log has a row per epoch:
        lr: the learning rate of its last step.
        loss, and each of its parts: means over the steps.
        grad_norm: the norm of dl/do, for the loss l of a point and its raw outputs o: summed over the points of an
            image, or averaged over the pixels; the mean over the steps. grad_norm_cv: the standard deviation over the
            steps, divided by that mean. The paper's argument for S_exp is that this norm stays steady.
        validation_median_deg: the median error on the held-out meshes. The lowest tells the best weights; without
            held-out meshes it is NaN, and the last weights are the best.
        images_per_s: of training, without validation.
        threads: of torch on the CPU, the mean over the steps; see `sphreg.cores`.

    Args:
        config: of the model.
        samples: of the split train.
        out: a folder.
        settings: the section `train`, for how trainings run.
        scratch: a folder for checkpoints and results.

    Raises:
        UserError: there are fewer images than a batch has, no such device, not enough memory, the loss is not finite
            any more, a process that decodes died, a file of `scratch` is damaged, or one cannot be written. The last
            checkpoint stays.
    """
    wanted = config.train
    check_device(settings.device, wanted)
    hardware = accelerator(settings.device)
    learned, held_out = samples.hold_out(wanted.validation)
    _check_batch(config, len(learned), hardware.num_processes)
    decoding = processes(settings.loaders, hardware)
    devices = [hardware.device] if hardware.device.type == "cuda" else []
    with _sentences(config, decoding), torch.random.fork_rng(devices):
        torch.manual_seed(config.seed)
        run = Run(Model(config, settings.device), len(learned) // wanted.batch, out)
        work = scratch / checkpoint.fingerprint(config, samples)
        with alone(work) if hardware.is_main_process else nullcontext():
            (finished,) = broadcast_object_list([hardware.is_main_process and checkpoint.finished(work)])
            if not finished:
                if settings.cache != "none":
                    learned, held_out = kept([learned, held_out], settings.cache, hardware, decoding)
                    decoding = 0
                with Cores(settings.threads) as cores:
                    run.go_on(work)
                    run.finish(learned, held_out, decoding, settings.checkpoint_s, cores)
            elif hardware.is_main_process:
                print(f"This model was trained before; delete {work} to train it again.")
            if hardware.is_main_process:
                checkpoint.publish(work, out)
                checkpoint.forget(scratch)
                tidy(scratch)


@contextmanager
def _sentences(config: ModelConfig, decoding: int) -> Iterator[None]:
    """What a user can mend of the errors that come from torch, wherever a training is."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if sentence := lost(error, decoding):
            raise sentence from error
        if not out_of_memory(error):
            raise
        tried = re.search(r"tried to allocate [\d.]+ \w+", str(error), re.IGNORECASE)
        setting = f"train.{config.task}.batch is {config.train.batch}"
        needs = "for which the memory does not suffice" + (f" ({tried[0][0].lower()}{tried[0][1:]})" if tried else "")
        raise UserError(f"{setting}, {needs}; allowed: fewer images, or a smaller network.") from error


def _check_batch(config: ModelConfig, images: int, processes: int) -> None:
    setting = f"train.{config.task}.batch is {config.train.batch}"
    if images < config.train.batch:
        raise UserError(f"{setting}, allowed: at most {images}, as there are no more images to learn from.")
    if config.train.batch % processes:
        raise UserError(f"{setting}, allowed: a multiple of {processes}, as so many processes share each batch.")


class Run:
    """A training under way.

    Attributes:
        done: how many batches it has learned from.
        seconds: that it took in this epoch.
        values: what each step of this epoch reports, in float64 on the device, so that nothing waits for it.
        names: of the columns of `values`.
        log: a row for each epoch that has ended.
    """

    def __init__(self, model: Model, steps_per_epoch: int, out: Path) -> None:
        settings = model.config.train
        self.model, self.steps_per_epoch, self.out = model, steps_per_epoch, out
        self.steps = length(settings, steps_per_epoch)
        self.epochs = math.ceil(self.steps / steps_per_epoch)
        self.optimizer, self.schedule = optimization(model.network, settings, self.steps)
        if settings.compile:
            model.network.compile()
        self.network: nn.Module = model.accelerator.prepare(model.network)
        self.done, self.seconds = 0, 0.0
        self.names: list[str] = []
        self.values = torch.empty(0)
        self.log: list[dict[str, float]] = []
        self.work = out

    def go_on(self, work: Path) -> None:
        """Go on from the checkpoint in a folder, if there is one; keep there what is not finished."""
        self.work = work
        (state,) = broadcast_object_list([checkpoint.load(self._checkpoint) if self._is_main else None])
        if state is None:
            return
        with checkpoint.restoring(self._checkpoint):
            self.model.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            for name in STATE:
                setattr(self, name, state[name])
            self.values = self.values.to(self.model.device)
            before, now = int(self.values[self._place - 1, self.names.index("threads")]), torch.get_num_threads()
        self._say(f"Going on after step {self.done} of {self.steps}, from {self._checkpoint}.")
        if self.model.device.type == "cpu" and before != now and self.done < self.steps:
            self._say(
                f"The number of threads was {before} and is now {now}: the weights will not be, bit for bit, those of "
                "a training that was not interrupted; train.threads sets it."
            )

    def finish(self, learned: Samples, held_out: Samples, decoding: int, checkpoint_s: float, cores: Cores) -> None:
        """Train to the end, and write what `train` says to the folder `result` beside the checkpoint.

        Args:
            learned: what is learned from.
            held_out: what tells the best weights; may be empty.
            decoding: processes that decode.
            checkpoint_s: seconds between checkpoints.
            cores: that it takes.
        """
        settings, steps = self.model.config.train, range(self.done, self.steps)
        rows = Shuffled(len(learned), settings.batch, self.model.config.seed, steps)
        total, before = (count * settings.batch for count in (self.steps, self.done))
        disable = None if self._is_main else True  # None: where there is no terminal
        with tqdm(total=total, initial=before, unit="images", unit_scale=True, leave=False, disable=disable) as bar:
            self.model.network.train()
            start = saved = time.perf_counter()
            for batch in loader(learned, rows, self.model.accelerator, decoding):
                self._learn(batch)
                bar.update(settings.batch)
                cores.look()
                now = time.perf_counter()
                ends = self.done in (self.steps, self._epoch * self.steps_per_epoch)
                saves = ends or now - saved >= checkpoint_s
                if not saves and self._place % LOOK:
                    continue
                loss = self._look(at_weights=saves)
                bar.set_description(f"epoch {self._epoch}/{self.epochs}", refresh=False)
                bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
                if saves:
                    self.seconds += time.perf_counter() - start  # the look has waited for the device
                    if ends:
                        self._end_epoch(held_out)
                    self._save()
                    start = saved = time.perf_counter()
        if self._is_main:
            self.model.save(self._result / "last.safetensors")
            self._write_log(self._result)
            for rest in self._result.glob("*.partial"):  # of an earlier kill
                rest.unlink()
            write_checksums(self._result)  # which say that it is whole

    def _learn(self, batch: Batch) -> None:
        """One step, whose random numbers follow from the seed, the step and the process alone."""
        process = self.model.accelerator.process_index
        (number,) = np.random.SeedSequence([self.model.config.seed, self.done, process]).generate_state(1, np.uint64)
        seed(self.model.device, int(number))
        lr = self.optimizer.param_groups[0]["lr"]
        report = step(self.model, self.network, self.optimizer, batch)
        self.schedule.step()
        place = self.done % self.steps_per_epoch
        if place == 0:
            self.names = ["lr", "threads", *report]
            shape = self.steps_per_epoch, len(self.names)
            self.values = torch.zeros(shape, dtype=torch.float64, device=self.model.device)
        self.values[place, 0], self.values[place, 1] = lr, torch.get_num_threads()
        self.values[place, 2:] = self.model.accelerator.reduce(torch.stack(list(report.values())), "mean")
        self.done += 1

    @property
    def _epoch(self) -> int:
        """That of the last step, counted from 1."""
        return math.ceil(self.done / self.steps_per_epoch)

    @property
    def _place(self) -> int:
        """How many steps of this epoch are done."""
        return self.done - (self._epoch - 1) * self.steps_per_epoch

    def _look(self, at_weights: bool) -> float:
        """The last loss; see that all were finite, and the weights that they led to."""
        loss, gradient = (self.values[: self._place, self.names.index(name)].cpu() for name in ("loss", "grad_norm"))
        for name, values in ("loss", loss), ("gradient", gradient):
            wrong = (~values.isfinite()).nonzero()
            if len(wrong):
                self._fail(f"the {name} is {float(values[wrong[0]]):g}", int(wrong[0]))
        if at_weights and not all(weight.isfinite().all() for weight in self.model.network.state_dict().values()):
            self._fail("the weights are not finite", self._place - 1)
        return float(loss[-1])

    def _fail(self, what: str, place: int) -> NoReturn:
        """`place` is that of the step, counted from 0."""
        good = f"the last good checkpoint is {self._checkpoint}" if self._checkpoint.exists() else "no checkpoint yet"
        lr = float(self.values[place, self.names.index("lr")])
        raise UserError(
            f"{what} at step {place + 1} of epoch {self._epoch}, with a learning rate of {lr:g} ({good}); try a lower "
            f"train.{self.model.config.task}.lr."
        )

    def _end_epoch(self, held_out: Samples) -> None:
        if self.model.accelerator.num_processes > 1:
            broadcast(list(self.model.network.buffers()))  # the statistics of batch normalisation differ
        values = pd.DataFrame(self.values[: self._place].cpu().numpy(), columns=self.names)
        row = {"epoch": self._epoch, "lr": values["lr"].iloc[-1], **values.drop(columns=["lr", "threads"]).mean()}
        row["grad_norm_cv"] = values["grad_norm"].std(ddof=0) / row["grad_norm"]
        row["validation_median_deg"] = median = median_error(self.model, held_out)
        if len(held_out) and math.isnan(median):
            self._fail("the median error on the held-out meshes is nan", self._place - 1)
        row["images_per_s"] = self._place * self.model.config.train.batch / self.seconds
        row["threads"] = values["threads"].mean()
        self.log.append({name: float(value) for name, value in row.items()} | {"epoch": self._epoch})
        self.seconds = 0.0
        self.model.network.train()
        if self._is_main:
            self._say(", ".join(f"{name} {value:.4g}" for name, value in row.items()))
            self._write_log(self.out)
            if not median > min(past["validation_median_deg"] for past in self.log):  # or it is NaN
                self.model.save(self._result / "best.safetensors")

    def _save(self) -> None:
        if self._is_main:
            modules = {"network": self.model.network, "optimizer": self.optimizer, "schedule": self.schedule}
            state = {name: module.state_dict() for name, module in modules.items()}
            checkpoint.save(self._checkpoint, state | {name: getattr(self, name) for name in STATE})

    def _write_log(self, folder: Path) -> None:
        write_whole(folder / "log.csv", pd.DataFrame(self.log).to_csv(index=False).encode())

    @property
    def _checkpoint(self) -> Path:
        return self.work / "checkpoint.pt"

    @property
    def _result(self) -> Path:
        return self.work / "result"

    @property
    def _is_main(self) -> bool:
        return self.model.accelerator.is_main_process

    def _say(self, text: str) -> None:
        if self._is_main:
            tqdm.write(text)
            sys.stdout.flush()
