"""Networks: shapes, which outputs belong to which category, part and pixel, and weights from files."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.resnet import ResNet18_Weights

from sphreg.config import load
from sphreg.errors import UserError
from sphreg.networks import BACKBONES, Backbone, PixelNetwork, PoseNetwork, build, load_weights, scaled
from sphreg.tasks import TASKS

TRAIN = load(Path(__file__).parents[1] / "params.yaml").train
PARTS = [(4,), (4, 8)]


def images(n: int, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    shape = (n, 1, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def network(task: str, parts: tuple[int, ...], categories: int = 3, **settings: Any) -> PoseNetwork | PixelNetwork:
    section = getattr(TRAIN, task).model_copy(update={"hidden": 8, "backbone": "small"} | settings)
    return build(TASKS[task](section), parts, categories).eval()


class TestBackbones:
    @pytest.mark.parametrize("name", BACKBONES)
    @pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 33), (17, 40)])
    def test_each_map_is_half_the_last_rounded_up(self, name: str, height: int, width: int) -> None:
        backbone = BACKBONES[name]().eval()
        maps = backbone(scaled(images(2, height, width)))
        assert len(maps) == len(backbone.channels)
        for level, (features, channels) in enumerate(zip(maps, backbone.channels, strict=True), start=1):
            assert features.shape == (2, channels, math.ceil(height / 2**level), math.ceil(width / 2**level))

    def test_resnet18_gives_the_features_of_torchvisions(self) -> None:
        """On three channels that are all grey, scaled by the means over ImageNet's three channels."""
        torchvisions = torchvision.models.resnet18().eval()
        backbone = BACKBONES["resnet18"]().eval()
        state = {name: value for name, value in torchvisions.state_dict().items() if not name.startswith("fc.")}
        backbone.load_state_dict(state)
        torchvisions.fc = nn.Identity()
        mean, deviation = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3
        grey = (images(2, 64, 64).double() / 255 - mean) / deviation
        expected = torchvisions(grey.float().repeat(1, 3, 1, 1))
        torch.testing.assert_close(backbone(scaled(images(2, 64, 64)))[-1].mean((2, 3)), expected, rtol=1e-3, atol=1e-4)

    def test_grey_levels(self) -> None:
        levels = scaled(torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3))
        expected = [(0 - 0.449) / 0.226, (0.2 - 0.449) / 0.226, (1 - 0.449) / 0.226]
        assert levels.flatten().tolist() == pytest.approx(expected, rel=1e-6)


class TestPoseNetwork:
    @pytest.mark.parametrize("share_hidden", [False, True])
    @pytest.mark.parametrize("per_category", [False, True])
    @pytest.mark.parametrize("parts", PARTS, ids=str)
    @pytest.mark.parametrize(("task", "points"), [("rotation", 1), ("viewpoint", 3)])
    def test_raw_outputs_of_each_point(
        self, task: str, points: int, parts: tuple[int, ...], per_category: bool, share_hidden: bool
    ) -> None:
        built = network(task, parts, per_category=per_category, share_hidden=share_hidden)
        raw = built(images(5), torch.tensor([0, 1, 2, 0, 1]))
        assert raw.shape == (5, points, sum(parts))
        assert raw.dtype == torch.float32
        assert raw.unique().numel() == raw.numel()  # no output is another one's copy

    @pytest.mark.parametrize("size", [(8, 8), (17, 17), (64, 64), (33, 50)])
    @pytest.mark.parametrize("backbone", BACKBONES)
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


class TestPixelNetwork:
    @pytest.mark.parametrize("backbone", BACKBONES)
    @pytest.mark.parametrize("size", [(64, 64), (17, 17), (33, 50), (8, 8)])
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


class TestWeights:
    @staticmethod
    def filled(name: str) -> dict[str, Tensor]:
        return {key: torch.randn_like(value.float()).to(value) for key, value in BACKBONES[name]().state_dict().items()}

    @pytest.mark.parametrize("task", ["rotation", "normals"])
    @pytest.mark.parametrize("name", BACKBONES)
    def test_a_file_fills_the_backbone(self, task: str, name: str, tmp_path: Path) -> None:
        state = self.filled(name)
        save_file(state, tmp_path / "weights.safetensors")
        built = network(task, (4,), backbone=name, weights=str(tmp_path / "weights.safetensors"))
        for key, value in built.backbone.state_dict().items():
            assert torch.equal(value, state[key]), key

    def test_imagenets_fill_resnet18_without_its_last_layer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = torchvision.models.resnet18().state_dict()
        monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **_: dict(state))
        built = network("rotation", (4,), backbone="resnet18", weights="imagenet")
        for key, value in built.backbone.state_dict().items():
            assert torch.equal(value, state[key]), key

    def unfit(self, backbone: Backbone, weights: str) -> str:
        with pytest.raises(UserError) as caught:
            load_weights(backbone, weights)
        message = str(caught.value)
        assert "\n" not in message
        assert weights in message and type(backbone).__name__ in message
        return message

    def test_imagenets_do_not_fill_the_small_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = torchvision.models.resnet18().state_dict()
        monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **_: dict(state))
        self.unfit(BACKBONES["small"](), "imagenet")

    def test_without_a_network_imagenets_are_not_to_be_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def get_state_dict(self: ResNet18_Weights, **_: Any) -> dict[str, Any]:
            raise OSError("no route to host")

        monkeypatch.setattr(ResNet18_Weights, "get_state_dict", get_state_dict)
        assert "no route to host" in self.unfit(BACKBONES["resnet18"](), "imagenet")

    def test_a_file_that_is_missing_wrong_or_cut_short(self, tmp_path: Path) -> None:
        small = BACKBONES["small"]()
        path = tmp_path / "weights.safetensors"
        self.unfit(small, str(path))
        save_file(self.filled("resnet18"), path)
        self.unfit(small, str(path))
        save_file(self.filled("small"), path)
        whole = path.read_bytes()
        for damaged in whole[: len(whole) // 2], whole[:4], b"", b"not a safetensors file at all":
            path.write_bytes(damaged)
            self.unfit(small, str(path))
        path.write_bytes(whole)
        load_weights(small, str(path))
