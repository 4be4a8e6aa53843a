"""Networks: torchvision's layers, which outputs belong to which category, part and pixel, and weights from files."""

import math
import pickle
import socket
from collections.abc import Collection, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model_weights

from sphreg import tasks
from sphreg.config import SMALLEST
from sphreg.errors import UserError
from sphreg.networks import build
from sphreg.networks.backbones import BACKBONES, scaled
from sphreg.networks.pixels import MirroredNetwork, PixelNetwork
from sphreg.networks.pose import PoseNetwork
from sphreg.tasks import TASKS
from tests.settings import PARAMS

TRAIN = PARAMS.train
PARTS = [(4,), (4, 8)]
TORCHVISIONS = [name for name in BACKBONES if name != "small"]


def images(n: int, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    shape = (n, 1, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def network(
    task: str, parts: tuple[int, ...], categories: int = 3, **settings: Any
) -> PoseNetwork | PixelNetwork | MirroredNetwork:
    section = getattr(TRAIN, task).model_copy(update={"hidden": 8, "backbone": "small"} | settings)
    return build(tasks.build(task, section), parts, categories).eval()


@cache
def torchvisions(name: str) -> nn.Module:
    """One of torchvision's models, whose random weights take long."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torchvision.models.get_model(name).eval()
    model.name = name
    return model


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    yield
    torchvisions.cache_clear()


@pytest.fixture(params=TORCHVISIONS)
def whole(request: pytest.FixtureRequest) -> nn.Module:
    return torchvisions(request.param)


def part_of(model: nn.Module, nodes: Collection[str]) -> nn.Module:
    """Taken from this very model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sphreg.networks.backbones.get_model", lambda name: {model.name: model}[name])
        return BACKBONES[model.name].part(nodes, None, "").eval()


def last_layer(model: nn.Module) -> nn.Linear:
    """That of ImageNet's 1000 classes."""
    *_, layer = model.modules()
    assert isinstance(layer, nn.Linear)
    return layer


class TestBackbones:
    """Against torchvision's own classes, with hooks on their layers."""

    def test_features_are_what_the_last_layer_gets(self, whole: nn.Module) -> None:
        node, count = BACKBONES[whole.name].features
        grey = (images(2, 67, 93) / 255 - (0.485 + 0.456 + 0.406) / 3) / ((0.229 + 0.224 + 0.225) / 3)
        given: list[Tensor] = []
        hook = last_layer(whole).register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        whole(grey.repeat(1, 3, 1, 1))
        hook.remove()
        backbone = BACKBONES[whole.name]
        features = part_of(whole, [node])(backbone.prepared(images(2, 67, 93)))[node]
        assert features.shape == (2, count)
        torch.testing.assert_close(features, given[0], rtol=1e-2, atol=1e-3 * given[0].abs().max().item())

    def test_maps_are_those_before_their_size_is_halved(self, whole: nn.Module) -> None:
        """What each pooling of alexnet and vgg gets; in a resnet what its pooling gets, and each layer gives."""
        seen: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
            for layer in whole.modules()
            if isinstance(layer, nn.MaxPool2d)
        ]
        hooks += [
            layer.register_forward_hook(lambda *arguments: seen.append(arguments[-1]))
            for name, layer in whole.named_children()
            if name.startswith("layer")
        ]
        backbone = BACKBONES[whole.name]
        prepared = backbone.prepared(images(2, 67, 93))
        whole(prepared)
        for hook in hooks:
            hook.remove()
        maps = list(part_of(whole, backbone.maps)(prepared).values())
        assert len(maps) == len(seen) == len(backbone.maps)
        for ours, theirs, channels in zip(maps, seen, backbone.maps.values(), strict=True):
            assert ours.shape[1] == channels
            assert torch.equal(ours, theirs)

    def test_no_layer_is_idle(self, whole: nn.Module) -> None:
        """The pose tasks need all but the last layer, and normals the convolutions."""
        backbone = BACKBONES[whole.name]
        inputs = last_layer(whole).in_features
        known = get_model_weights(whole.name)["IMAGENET1K_V1"].meta["num_params"]
        features = part_of(whole, [backbone.features[0]])
        assert sum(p.numel() for p in features.parameters()) == known - 1000 * (inputs + 1)
        maps = part_of(whole, backbone.maps)
        convolutions = [p for name, p in whole.named_parameters() if not name.startswith(("fc", "classifier"))]
        assert sum(p.numel() for p in maps.parameters()) == sum(p.numel() for p in convolutions)

    @pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 33), (17, 40)])
    @pytest.mark.parametrize("name", ["small", "resnet18"])
    def test_each_map_is_half_the_last_rounded_up(self, name: str, height: int, width: int) -> None:
        backbone = BACKBONES[name]
        maps = backbone.part(backbone.maps, None, "").eval()(backbone.prepared(images(2, height, width)))
        sizes = [(math.ceil(height / 2**level), math.ceil(width / 2**level)) for level in range(1, len(maps) + 1)]
        assert [tuple(features.shape[2:]) for features in maps.values()] == sizes
        assert [features.shape[1] for features in maps.values()] == list(backbone.maps.values())

    def test_images_that_are_too_small(self, whole: nn.Module) -> None:
        backbone = BACKBONES[whole.name]
        least = SMALLEST[whole.name]
        part = part_of(whole, [backbone.features[0], *backbone.maps])
        assert all(value.numel() for value in part(backbone.prepared(images(1, least, 80))).values())
        if least > 1:
            with pytest.raises(UserError, match=rf"{least - 1} x 80 pixels, allowed with .* {whole.name}: at least"):
                backbone.prepared(images(1, least - 1, 80))
            with pytest.raises(RuntimeError):  # what torchvision says
                whole(scaled(images(1, least - 1, 80)).expand(-1, 3, -1, -1))

    def test_grey_levels(self) -> None:
        levels = scaled(torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3))
        expected = [(0 - 0.449) / 0.226, (0.2 - 0.449) / 0.226, (1 - 0.449) / 0.226]
        assert levels.flatten().tolist() == pytest.approx(expected, rel=1e-6)


class TestPoseNetwork:
    @pytest.mark.parametrize("hidden_per_angle", [False, True])
    @pytest.mark.parametrize("share_hidden", [False, True])
    @pytest.mark.parametrize("per_category", [False, True])
    @pytest.mark.parametrize("parts", PARTS, ids=str)
    def test_three_points_against_a_plain_loop(
        self, parts: tuple[int, ...], per_category: bool, share_hidden: bool, hidden_per_angle: bool
    ) -> None:
        settings = {"per_category": per_category, "share_hidden": share_hidden, "hidden_per_angle": hidden_per_angle}
        built = network("viewpoint", parts, **settings)
        batch, categories = images(5), torch.tensor([0, 1, 2, 0, 1])
        raw = built(batch, categories)
        assert raw.shape == (5, 3, sum(parts))
        assert raw.dtype == torch.float32
        assert raw.unique().numel() == raw.numel()  # no output is another one's copy
        state = built.state_dict()
        features = built.backbone(built.prepared(batch))["flatten"]
        layers = {"hidden": (3 if hidden_per_angle else 1) * (1 if share_hidden else len(parts))}
        layers["outputs"] = (3 if hidden_per_angle else 1) * len(parts)
        for kind, count in layers.items():
            assert {key.split(".")[2] for key in state if key.startswith(f"branches.{kind}")} == set(
                map(str, range(count))
            )

        def linear(name: str, x: Tensor) -> Tensor:
            return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

        for image in range(5):
            for angle in range(3):
                expected = []
                for part, numbers in enumerate(parts):
                    copy = angle if hidden_per_angle else 0
                    hidden = copy if share_hidden else copy * len(parts) + part
                    units = linear(f"branches.hidden.{hidden}", features[image]).clamp(min=0)
                    outputs = linear(f"branches.outputs.{copy * len(parts) + part}", units)
                    place = int(categories[image]) if per_category else 0
                    if not hidden_per_angle:
                        place = 3 * place + angle
                    expected.append(outputs[numbers * place : numbers * (place + 1)])
                torch.testing.assert_close(raw[image, angle], torch.cat(expected), rtol=1e-4, atol=1e-6)

    def test_an_angle_depends_on_the_hidden_layer_of_its_own(self) -> None:
        built = network("viewpoint", (2, 4), share_hidden=True, hidden_per_angle=True, hidden=16)
        for angle in range(3):
            for part in slice(2), slice(2, None):  # the parts share it
                built.zero_grad()
                built(images(2), torch.tensor([0, 1]))[:, angle, part].sum().backward()
                used = {n for n, p in built.branches.hidden.named_parameters() if p.grad is not None and p.grad.any()}
                assert used == {f"{angle}.weight", f"{angle}.bias"}

    @pytest.mark.parametrize("size", [(8, 8), (17, 17), (64, 64), (33, 50)])
    @pytest.mark.parametrize("backbone", ["small", "resnet18"])
    def test_any_size_of_images(self, backbone: str, size: tuple[int, int]) -> None:
        raw = network("viewpoint", (2, 4), backbone=backbone)(images(2, *size), torch.tensor([2, 0]))
        assert raw.shape == (2, 3, 6)
        assert raw.isfinite().all()

    def test_a_step_on_images_of_one_category_changes_the_outputs_of_that_category_alone(self) -> None:
        built = network("viewpoint", (2, 4))
        assert isinstance(built, PoseNetwork)
        same, each = images(1).expand(3, -1, -1, -1), torch.arange(3)
        for category in range(3):
            before = built(same, each)
            outputs = built.branches.outputs.parameters()
            optimizer = torch.optim.SGD(outputs, lr=0.1)
            built(images(4, seed=1), torch.full((4,), category)).sum().backward()
            optimizer.step()
            built.zero_grad()
            changed = (built(same, each) != before).flatten(1)
            assert changed[category].all()
            assert not changed[each != category].any()

    def test_outputs_differ_by_category_only_if_they_are_apart(self) -> None:
        same = images(1).expand(3, -1, -1, -1)
        apart = network("rotation", (4, 8))(same, torch.arange(3))
        assert (apart[0] != apart[1]).all() and (apart[1] != apart[2]).all()
        together = network("rotation", (4, 8), per_category=False)(same, torch.arange(3))
        torch.testing.assert_close(together, together[:1].expand_as(together))

    def test_an_image_gets_the_same_outputs_in_any_batch(self) -> None:
        built, categories = network("rotation", (4, 8)), torch.tensor([2, 0, 1, 1, 2, 0])
        whole = built(images(6), categories)
        for row in range(6):
            torch.testing.assert_close(whole[row : row + 1], built(images(6)[row : row + 1], categories[row : row + 1]))


@pytest.mark.parametrize(("task", "count"), [("rotation", 3 * 1), ("viewpoint", 3 * 3), ("normals", 4)])
class TestBranches:
    """`count`: output units per raw number, of three categories with their points or of 2 x 2 pixels."""

    def test_the_parts_stand_side_by_side(self, task: str, count: int) -> None:
        built = network(task, (4, 8))
        weights = dict(built.branches.outputs.named_parameters())
        assert [len(weights[f"{part}.weight"]) for part in (0, 1)] == [4 * count, 8 * count]
        nn.init.zeros_(weights["1.weight"])
        nn.init.constant_(weights["1.bias"], 7)
        raw = built(images(2), torch.tensor([0, 1]))
        assert (raw[..., 4:] == 7).all()
        assert (raw[..., :4] != 7).all()

    @pytest.mark.parametrize("share_hidden", [False, True])
    def test_parts_have_hidden_layers_of_their_own_unless_they_share_one(
        self, task: str, count: int, share_hidden: bool
    ) -> None:
        built = network(task, (4, 8), share_hidden=share_hidden)
        used = []
        for part in slice(4), slice(4, None):
            built.zero_grad()
            built(images(2), torch.tensor([0, 1]))[..., part].sum().backward()
            used.append({n for n, p in built.branches.hidden.named_parameters() if p.grad is not None and p.grad.any()})
        assert used[0] and used[1]
        assert used[0] == used[1] if share_hidden else used[0].isdisjoint(used[1])

    def test_dropout_is_for_training(self, task: str, count: int) -> None:
        built, categories = network(task, (4,), dropout=0.5), torch.tensor([0, 1])
        torch.testing.assert_close(built(images(2), categories), built(images(2), categories), rtol=0, atol=0)
        built.branches.train()
        assert (built(images(2), categories) != built(images(2), categories)).any()


def test_the_dropout_of_alexnet_is_for_training() -> None:
    built, categories = network("rotation", (4,), backbone="alexnet"), torch.tensor([0, 1])
    assert torch.equal(built(images(2, 64, 64), categories), built(images(2, 64, 64), categories))
    built.train()
    assert (built(images(2, 64, 64), categories) != built(images(2, 64, 64), categories)).any()


class TestPixelNetwork:
    @pytest.mark.parametrize(
        ("backbone", "size"),
        [
            *product(["small", "resnet18"], [(64, 64), (17, 17), (33, 50), (8, 8), (96, 64)]),
            *product(["alexnet"], [(64, 64), (63, 95), (96, 64)]),
        ],
    )
    def test_raw_outputs_of_each_pixel(self, backbone: str, size: tuple[int, int]) -> None:
        raw = network("normals", (3, 4), backbone=backbone)(images(2, *size), torch.tensor([0, 1]))
        assert raw.shape == (2, *size, 7)
        assert raw.isfinite().all()

    @pytest.mark.parametrize("share_hidden", [False, True])
    def test_every_pixel_has_its_own(self, share_hidden: bool) -> None:
        raw = network("normals", (3, 4), share_hidden=share_hidden, hidden=64)(images(1), torch.tensor([0]))
        flat = raw.reshape(-1, 7)
        assert len(flat.unique(dim=0)) == len(flat)

    @pytest.mark.parametrize(("row", "column"), [(3, 3), (4, 27), (36, 5), (37, 26), (20, 15)])
    def test_outputs_lie_where_their_pixels_are(self, row: int, column: int) -> None:
        """The outputs change most near the pixels that changed, in an image higher than wide."""
        built = network("normals", (3,))
        grey = torch.full((1, 1, 41, 31), 128, dtype=torch.uint8)
        dots = grey.clone()
        dots[..., row - 1 : row + 2, column - 1 : column + 2] = 255
        change = (built(dots, torch.tensor([0])) - built(grey, torch.tensor([0]))).norm(dim=-1)[0]
        places = torch.stack(torch.meshgrid(torch.arange(41.0), torch.arange(31.0), indexing="ij"))
        centre = (places * change**2).sum((1, 2)) / (change**2).sum()
        assert centre.tolist() == pytest.approx([row, column], abs=3)

    def test_the_category_is_not_used(self) -> None:
        built = network("normals", (3, 4))
        assert torch.equal(built(images(2), torch.tensor([0, 1])), built(images(2), torch.tensor([2, 2])))


@pytest.fixture(scope="module")
def mirrored() -> MirroredNetwork:
    """The network of normals in the preset `paper`, with the parts of S_exp, and statistics as after some training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = network("normals", (3, 4), backbone="vgg16_bn", hidden=64)
        assert isinstance(built, MirroredNetwork)
        for layer in built.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
        built.train()(images(2, 64, 64), torch.tensor([0, 0]))
    return built.eval()


class TestMirroredNetwork:
    @pytest.mark.parametrize("size", [(64, 64), (32, 96), (64, 32), (33, 50)])
    def test_raw_outputs_of_each_pixel(self, mirrored: MirroredNetwork, size: tuple[int, int]) -> None:
        raw = mirrored(images(2, *size), torch.tensor([0, 1]))
        assert raw.shape == (2, *size, 7)
        assert raw.isfinite().all()

    def test_against_transposed_convolutions_and_the_places_of_the_encoders_poolings(
        self, mirrored: MirroredNetwork
    ) -> None:
        """The published form, put together from torchvision's layers, by the weights of ours."""
        state = mirrored.state_dict()
        vgg = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"], batch_norm=True).eval()
        features = "backbone.features."
        vgg.load_state_dict({key.removeprefix(features): state[key] for key in state if key.startswith(features)})
        batch = images(2, 64, 96, seed=3)
        x, skips, places = scaled(batch).repeat(1, 3, 1, 1), [], []
        for layer in vgg[:-1]:
            if isinstance(layer, nn.MaxPool2d):
                skips.append(x.clone())
                x, indices = nn.MaxPool2d(2, 2, return_indices=True)(x)
                places.append(indices)
            else:
                x = layer(x)

        def transposed(x: Tensor, convolution: str, norm: str) -> Tensor:
            kernel = state[f"{convolution}.weight"].transpose(0, 1).flip(2, 3)
            x = F.conv_transpose2d(x, kernel, state.get(f"{convolution}.bias"), padding=1)
            scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-5).sqrt()
            centred = x - state[f"{norm}.running_mean"][:, None, None]
            return centred * scale[:, None, None] + state[f"{norm}.bias"][:, None, None]

        for level, layers in enumerate((3, 3, 3, 2)):
            for layer in range(layers):
                x = transposed(x, f"levels.{level}.{layer}.0", f"levels.{level}.{layer}.1").relu()
            skip = skips.pop()
            x = torch.cat([skip, nn.MaxUnpool2d(2, 2)(x, places.pop(), output_size=skip.shape)], dim=1)
        parts = []
        for part in range(2):
            hidden = transposed(x, f"branches.hidden.{part}.0", f"branches.hidden.{part}.1").relu()
            parts.append(transposed(hidden, f"branches.outputs.{part}.0", f"branches.outputs.{part}.1"))
        expected = torch.cat(parts, dim=1).permute(0, 2, 3, 1)
        torch.testing.assert_close(mirrored(batch, torch.tensor([0, 0])), expected, rtol=1e-2, atol=1e-3)

    def test_its_convolutions_are_the_published_ones(self, mirrored: MirroredNetwork) -> None:
        levels = [(512, 512), (512, 512), (512, 512), (1024, 512), (512, 512), (512, 256), (512, 256), (256, 256)]
        levels += [(256, 128), (256, 128), (128, 64)]
        branches = [(128, 64), (128, 64), (64, 3), (64, 4)]
        shapes = [
            tuple(layer.weight.shape)
            for section in (mirrored.levels, mirrored.branches)
            for layer in section.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        assert shapes == [(outputs, inputs, 3, 3) for inputs, outputs in levels + branches]

    def test_the_category_is_not_used(self, mirrored: MirroredNetwork) -> None:
        assert torch.equal(mirrored(images(2), torch.tensor([0, 1])), mirrored(images(2), torch.tensor([2, 2])))


class Code:
    """Runs when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


class TestWeights:
    @staticmethod
    def state(name: str) -> dict[str, Tensor]:
        """Of the whole model, all weights another than in a new one."""
        model = torchvisions(name) if name != "small" else network("rotation", (4,)).backbone
        return {key: torch.randn_like(value.float()).to(value) for key, value in model.state_dict().items()}

    @staticmethod
    def refused(weights: str | Path, reason: str, task: str = "rotation", backbone: str = "resnet18") -> None:
        """In one sentence with the name of the setting, its value, why, and what is allowed."""
        with pytest.raises(UserError) as caught:
            network(task, (4,), backbone=backbone, weights=str(weights))
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(
            f"train.{task}.weights is {str(weights)!r}, which gives the backbone {backbone} no weights: "
        )
        assert message.endswith("; allowed: null or a safetensors file with its weights.")
        assert reason in message

    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("name", ["small", "resnet18"])
    def test_a_file_of_the_whole_model_or_of_what_is_needed_of_it(self, task: str, name: str, tmp_path: Path) -> None:
        state, path = self.state(name), tmp_path / "weights.safetensors"
        needed = [key for key in state if not key.startswith("fc.")]
        for names in list(state), needed:
            save_file({key: state[key] for key in names}, path)
            built = network(task, (4,), backbone=name, weights=str(path)).backbone.state_dict()
            assert list(built) == needed
            for key, value in built.items():
                assert torch.equal(value, state[key]), key

    @pytest.mark.parametrize("name", ["resnet50", "alexnet"])
    def test_imagenets_come_from_torchvision(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Through its own functions, from the folder that it keeps downloads in."""
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        state = self.state(name)
        file = tmp_path / "hub" / "checkpoints" / get_model_weights(name)["IMAGENET1K_V1"].url.split("/")[-1]
        file.parent.mkdir(parents=True)
        torch.save({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}, file)
        for task in "rotation", "normals":
            built = network(task, (4,), backbone=name, weights="imagenet").backbone.state_dict()
            assert ("classifier.4.weight" in built) == ((task, name) == ("rotation", "alexnet"))
            for key, value in built.items():
                if not key.endswith("num_batches_tracked"):
                    assert torch.equal(value, state[key]), key

    def test_imagenets_that_are_damaged_or_code(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        file = tmp_path / "hub" / "checkpoints" / get_model_weights("resnet18")["IMAGENET1K_V1"].url.split("/")[-1]
        file.parent.mkdir(parents=True)
        torch.save(self.state("resnet18"), file)
        whole = file.read_bytes()
        for damaged in whole[: len(whole) // 2], b"", b"not weights at all":
            file.write_bytes(damaged)
            self.refused("imagenet", f"{file} is damaged, and has to be deleted")
        torch.save({"conv1.weight": Code(tmp_path / "marker")}, file)
        self.refused("imagenet", f"{file} is damaged, and has to be deleted")
        assert not (tmp_path / "marker").exists()
        torch.save(self.state("resnet34"), file)
        self.refused("imagenet", "layer1.2.conv1.weight belongs to another model")

    @pytest.mark.parametrize("backbone", TORCHVISIONS)
    def test_without_a_network_imagenets_are_not_to_be_had(
        self, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_name(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(socket, "getaddrinfo", no_name)
        monkeypatch.setattr("sphreg.networks.backbones.get_model", lambda name: torchvision.models.resnet18())  # quick
        with pytest.raises(UserError, match=r"Name or service not known.*; allowed: null or a safetensors file"):
            BACKBONES[backbone].part(["flatten"], "imagenet", "train.rotation.weights")

    def test_a_file_that_is_missing_cut_short_or_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.safetensors"
        self.refused(path, "there is no such file", backbone="small")
        self.refused(tmp_path, "there is no such file", backbone="small")
        save_file(self.state("small"), path)
        whole = path.read_bytes()
        for damaged in whole[: len(whole) // 2], whole[:4], b"", b"not a safetensors file at all":
            path.write_bytes(damaged)
            self.refused(path, "it is not a safetensors file", backbone="small")
        torch.save(self.state("small"), path)
        self.refused(path, "it is not a safetensors file", backbone="small")
        path.write_bytes(pickle.dumps(Code(tmp_path / "marker")))
        self.refused(path, "it is not a safetensors file", backbone="small")
        assert not (tmp_path / "marker").exists()
        path.write_bytes(whole)
        network("rotation", (4,), weights=str(path))

    def test_a_file_with_other_layers_or_shapes(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.safetensors"
        save_file(self.state("small"), path)
        self.refused(path, "conv1.weight is missing")
        state = self.state("resnet18")
        save_file(state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, path)
        self.refused(path, "conv1.weight has the shape (64, 1, 7, 7) in place of (64, 3, 7, 7)", task="normals")
        save_file(state | {"extra": torch.zeros(1)}, path)
        self.refused(path, "extra belongs to another model", task="viewpoint")
