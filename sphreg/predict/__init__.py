"""A trained model at work: the rotations, or the normals, of any images.

    model = sphreg.load("models/sexp/rotation")
    rotations = model.predict(["a.png", "b.jpg"], categories="chair")

`python -m sphreg.predict` does the same from the command line.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import patch_environment
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from sphreg.config import DeviceName, RotationTraining
from sphreg.errors import UserError
from sphreg.model import Model
from sphreg.predict.images import Images, Single, Square, shape, single_images, square
from sphreg.predict.rotations import Rotations
from sphreg.samples import Batch
from sphreg.tasks.base import Pose

BATCH = 32  # images that are in memory at once
WEIGHTS = ("last", "best")
# The environment of a process that was not launched with others: in one that was, Accelerate would wait for these.
ALONE = {"LOCAL_RANK": -1} | dict.fromkeys(["WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"], 1)


class Predictor:
    """A trained model that takes images as users have them.

    An image is turned upright where its EXIF data say so and are not broken, made grey as Pillow's mode L does, on
    white where it is transparent, padded with white to a square, in whose middle it is, and resized, with antialiasing,
    to the size of the images that the model was trained on. As in those, the object should be in the middle and fill
    the square without being cut; see `sphreg.render.camera`. Of a file with several pictures the first one counts.
    Colour profiles and gamma are left out of account.

    Attributes:
        model: network, task and head, on the GPU if there is one.
        size: width and height of the images that it was trained on.
    """

    def __init__(self, model: Model, size: int):
        self.model = model
        self.size = size

    @property
    def task(self) -> str:
        """The name of what it predicts."""
        return self.model.config.task

    @property
    def categories(self) -> list[str]:
        """The categories that it was trained on."""
        return self.model.config.categories

    def predict(
        self, images: Images, categories: str | Sequence[str] | None = None
    ) -> Rotations | Float32[np.ndarray, "n h w 3"]:
        """The rotations of images; of a model for normals, their maps of normals, which have to be of one size.

        Normals are unit vectors in the camera's frame (x right, y up, z to the viewer), one for each of the image's own
        pixels: that of the network's pixel at the same place. There is no mask: what they are beside the object means
        nothing.

        Args:
            images: the path of a file (AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TIFF or WebP, of 8 or 16 bits, and up
                to 13,000 pixels each way; no pipe), an image of Pillow, or one or more of them as

                - a NumPy array (h, w), (h, w, c), (n, h, w) or (n, h, w, c): if the last axis has 1, 3 or 4 entries,
                  these are the channels grey, RGB or RGBA;
                - a torch tensor (h, w), (c, h, w) or (n, c, h, w);
                - a list, or the like, of paths, images of Pillow, arrays and tensors of one image each.

                Numbers are uint8, or floating-point numbers from 0, black, to 1.
            categories: one name for all images, or one for each. A model with outputs per category needs them.

        Raises:
            UserError: something is not as said above, or an image cannot be read; with its name, and as early as it can
                be known. `stream` goes on with the others.
        """
        single = single_images(images)
        numbers = self._numbers(categories, len(single))
        sizes = {shape(image) for image in single}  # no image is decoded yet, and most that are none are found
        if not isinstance(self.model.task, Pose) and len(sizes) > 1:
            (h, w), (other_h, other_w) = sorted(sizes)[:2]
            raise UserError(
                f"images of {w} x {h} and {other_w} x {other_h} pixels, allowed: one size; or use `stream`."
            )
        answers = []
        for answer in self._stream(single, numbers):
            if isinstance(answer, UserError):
                raise answer
            answers.append(answer)
        found = np.stack(answers)
        return Rotations(found) if isinstance(self.model.task, Pose) else found

    def stream(
        self, images: Images, categories: str | Sequence[str] | None = None
    ) -> Iterator[Rotations | Float32[np.ndarray, "h w 3"] | UserError]:
        """What `predict` finds, image by image, in their order, as they are read: for more than the memory holds.

        In the place of an image that cannot be read stands the error that says why. Sizes may differ.

        Raises:
            UserError: something is wrong with all of `images`, or with `categories`; before any image is read.
        """
        single = single_images(images)
        answers = self._stream(single, self._numbers(categories, len(single)))
        if isinstance(self.model.task, Pose):
            return (found if isinstance(found, UserError) else Rotations(found[None]) for found in answers)
        return answers

    def _stream(
        self, single: list[Single], numbers: Int64[Tensor, "n"]
    ) -> Iterator[Float[np.ndarray, "..."] | UserError]:
        """The quaternion or the normals of each image."""
        for start in range(0, len(single), BATCH):
            read = [self._square(image) for image in single[start : start + BATCH]]
            squares = [image for image in read if isinstance(image, Square)]
            places = [start + place for place, image in enumerate(read) if isinstance(image, Square)]
            answers = self._answers(squares, numbers[places]) if squares else iter(())
            for place, image in enumerate(read, start):
                answer = next(answers) if isinstance(image, Square) else image
                if not isinstance(answer, UserError) and not np.isfinite(answer).all():
                    name = single[place] if isinstance(single[place], str) else f"images[{place}]"
                    answer = UserError(f"{name}: the model's answer is not finite.")
                yield answer

    def _square(self, image: Single) -> Square | UserError:
        try:
            return square(image, self.size)
        except UserError as error:
            return error

    def _answers(self, squares: list[Square], numbers: Int64[Tensor, "n"]) -> Iterator[Float[np.ndarray, "..."]]:
        images = torch.from_numpy(np.stack([image.pixels for image in squares]))[:, None]
        points = self.model.predict(Batch(images, numbers, torch.zeros(len(squares)))).cpu()  # the truth is not known
        if isinstance(self.model.task, Pose):
            yield from F.normalize(self.model.task.answer(points.double()), dim=-1).numpy()
        else:
            for image, normals in zip(squares, self.model.task.answer(points).numpy(), strict=True):
                yield image.undo(normals)

    def _numbers(self, categories: str | Sequence[str] | None, count: int) -> Int64[Tensor, "n"]:
        """The categories as numbers; zeros where the model does not ask for them."""
        allowed = ", ".join(self.categories)
        settings = self.model.config.train
        if categories is None:
            if isinstance(settings, RotationTraining) and settings.per_category:
                raise UserError(f"categories is missing, as the model has outputs for each, allowed: {allowed}.")
            return torch.zeros(count, dtype=torch.long)
        names = [categories] * count if isinstance(categories, str) else list(categories)
        if len(names) != count:
            raise UserError(f"{len(names)} categories for {count} images, allowed: one for all, or one for each.")
        if unknown := [name for name in names if name not in self.categories]:
            raise UserError(f"the training did not have the category {unknown[0]!r}, allowed: {allowed}.")
        return torch.tensor([self.categories.index(name) for name in names])


def load(
    folder: str | PathLike[str], weights: str = "last", task: str | None = None, device: DeviceName = "auto"
) -> Predictor:
    """The trained model in a folder that the stage `train` wrote, such as models/sexp/rotation.

    Args:
        folder: with weights and `config.json`. Nothing else is read, and no pickle: it may come from anyone.
        weights: `last`, or `best` by the held-out meshes.
        task: what it has to predict; None: any.
        device: auto, the GPU if there is one; cpu; or cuda. The first one that a process asks for stays its device.
            It joins no other processes, also where a launcher such as torchrun left its environment.

    Raises:
        UserError: there is no such model, it cannot be read, its task is another, or there is no such device.
    """
    if weights not in WEIGHTS:
        raise UserError(f"weights is {weights!r}, allowed: {', '.join(WEIGHTS)}.")
    file = Path(folder) / f"{weights}.safetensors"
    if not file.is_file():
        raise UserError(f"{file}: there is no such file, allowed: a folder with a trained model, as models/HEAD/TASK.")
    with patch_environment(**ALONE):
        model = Model.load(file, device)
    if task not in (None, model.config.task):
        raise UserError(f"{folder}: the task of this model is {model.config.task}, allowed here: {task}.")
    return Predictor(model, model.config.size)
