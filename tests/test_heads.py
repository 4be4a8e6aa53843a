"""Heads: gradients, hand-computed losses, and that the minimiser of each loss is what the head predicts."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from sphreg import heads
from sphreg.heads.base import Head
from sphreg.heads.sexp import SExp
from sphreg.spheres import Sphere, s_exp

SPHERES = {"S1": Sphere(2), "S2 with known z": Sphere(3, positive=2), "S3 with known w": Sphere(4, positive=3)}
SEXP = {"absolute": "cosine", "absolute_weight": 10.0, "sign_weight": 1.0}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "direct": ("direct", {}),
    "flat": ("flat", {}),
    "sexp cosine": ("sexp", SEXP),
    "sexp cross_entropy": ("sexp", SEXP | {"absolute": "cross_entropy"}),
}


@pytest.fixture(params=SPHERES)
def sphere(request: pytest.FixtureRequest) -> Sphere:
    return SPHERES[request.param]


@pytest.fixture(params=SETTINGS)
def head(request: pytest.FixtureRequest, sphere: Sphere) -> Head:
    name, settings = SETTINGS[request.param]
    return heads.build(name, sphere, settings)


@pytest.fixture(params=["cosine", "cross_entropy"])
def sexp_head(request: pytest.FixtureRequest, sphere: Sphere) -> Head:
    return sexp(sphere, absolute=request.param)


def sexp(sphere: Sphere, **settings: Any) -> Head:
    return heads.build("sexp", sphere, SEXP | settings)


def points(sphere: Sphere, *batch: int, seed: int = 0) -> Tensor:
    """Random points whose known component is positive."""
    values = torch.randn(*batch, sphere.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if sphere.positive is not None:
        values[..., sphere.positive].abs_()
    return values / values.square().sum(-1, keepdim=True).sqrt()


def raws(head: Head, *batch: int, seed: int = 1) -> Tensor:
    return torch.randn(*batch, sum(head.parts), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def total(head: Head, raw: Tensor, target: Tensor) -> Tensor:
    return torch.stack(list(head.loss(raw, target).values())).sum()


def angles_deg(a: Tensor, b: Tensor) -> Tensor:
    """Between unit vectors, by Kahan's formula."""
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)).rad2deg()


def minimiser(head: Head, target: Tensor) -> Tensor:
    """The raw outputs of the lowest loss, from random ones. Rprop heeds the signs of a gradient alone, so that it
    reaches S_exp's minima at infinity, too."""
    raw = raws(head, *target.shape[:-1]).requires_grad_()
    optimizer = torch.optim.Rprop([raw], lr=0.1, step_sizes=(1e-9, 1))
    for _ in range(100):
        optimizer.zero_grad()
        total(head, raw, target).backward()
        optimizer.step()
    return raw.detach()


class TestEveryHead:
    def test_gradients(self, head: Head) -> None:
        """Of each part of the loss and of the prediction, against differences."""
        raw, target = raws(head, 6).requires_grad_(), points(head.sphere, 6)
        torch.autograd.gradcheck(lambda o: tuple(head.loss(o, target).values()), raw)
        torch.autograd.gradcheck(head.predict, raw)

    def test_the_minimiser_of_the_loss_is_what_predict_returns(self, head: Head) -> None:
        """From five starts each, for random targets and for the ends of the axes, whose S_exp is a limit."""
        axes = torch.eye(head.sphere.dim, dtype=torch.float64)
        targets = torch.cat([points(head.sphere, 10), axes, -axes[list(head.sphere.free)]])
        targets = targets.expand(5, *targets.shape)
        raw = minimiser(head, targets)
        assert (angles_deg(head.predict(raw), targets) < 1e-4).all()
        lowest = torch.stack(list(head.loss(raw, targets).values())).sum(0)
        for scale in 1e-3, 0.1, 10:
            other = raw + scale * raws(head, 20, *targets.shape[:-1], seed=2)
            losses = torch.stack(list(head.loss(other, targets.expand(20, *targets.shape)).values())).sum(0)
            assert (losses > lowest - 1e-7).all()

    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)], ids=str)
    @pytest.mark.parametrize("scale", [0.01, 1, 30])
    def test_predictions_have_unit_length_and_the_precision_of_raw(
        self, head: Head, dtype: torch.dtype, tolerance: float, scale: float
    ) -> None:
        result = head.predict((scale * raws(head, 100)).to(dtype))
        assert result.dtype == dtype
        lengths = result.double().square().sum(-1).sqrt()
        # The rounding error of an exponent grows with it.
        torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0, atol=tolerance * max(1, scale))

    @pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3), (2, 4, 3)], ids=str)
    def test_every_point_of_a_batch_is_taken_alone(self, head: Head, batch: tuple[int, ...]) -> None:
        raw, target = raws(head, *batch), points(head.sphere, *batch)
        rows = list(zip(raw.reshape(-1, raw.shape[-1]), target.reshape(-1, head.sphere.dim), strict=True))
        for name, loss in head.loss(raw, target).items():
            assert loss.shape == batch
            alone = [head.loss(o, y)[name].item() for o, y in rows]
            torch.testing.assert_close(loss, torch.tensor(alone, dtype=torch.float64).reshape(batch))
        result = head.predict(raw)
        assert result.shape == (*batch, head.sphere.dim)
        for i, (o, _) in enumerate(rows):
            torch.testing.assert_close(result.reshape(-1, head.sphere.dim)[i], head.predict(o))

    def test_float32_gives_the_loss_of_float64(self, head: Head) -> None:
        raw, target = raws(head, 50), points(head.sphere, 50)
        double, single = head.loss(raw, target), head.loss(raw.float(), target.float())
        for name, loss in single.items():
            assert loss.dtype == torch.float32
            torch.testing.assert_close(loss.double(), double[name], rtol=1e-5, atol=1e-5)

    def test_large_outputs_give_a_finite_loss_and_gradient(self, head: Head) -> None:
        raw, target = (1e4 * raws(head, 50).float()).requires_grad_(), points(head.sphere, 50).float()
        loss = total(head, raw, target)
        loss.backward()
        assert loss.isfinite()
        assert raw.grad is not None and raw.grad.isfinite().all()
        assert head.predict(raw).isfinite().all()

    def test_the_parts_are_the_coordinates_and_for_sexp_the_sign_classes(self, head: Head) -> None:
        coordinates, classes = (head.sphere.dim,), 2 ** len(head.sphere.free)
        assert head.parts == ((*coordinates, classes) if isinstance(head, SExp) else coordinates)


class TestHandComputedLosses:
    def test_direct_is_smooth_l1_summed_over_the_coordinates(self) -> None:
        """d^2 / 2 up to |d| = 1, |d| - 1/2 beyond: (0.5 - 0.6) and (2 - 0.8)."""
        head = heads.build("direct", Sphere(2), {})
        loss = head.loss(torch.tensor([0.5, 2.0]), torch.tensor([0.6, 0.8]))
        assert {name: value.item() for name, value in loss.items()} == {"smooth_l1": pytest.approx(0.005 + 0.7)}
        assert head.predict(torch.tensor([3.0, -4.0])).tolist() == pytest.approx([0.6, -0.8])

    def test_flat_is_one_minus_the_cosine(self) -> None:
        head = heads.build("flat", Sphere(2), {})
        loss = head.loss(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1.0]))
        assert {name: value.item() for name, value in loss.items()} == {"cosine": pytest.approx(1 - 0.8)}
        assert head.predict(torch.tensor([3.0, -4.0])).tolist() == pytest.approx([0.6, -0.8])

    @pytest.mark.parametrize(
        ("absolute", "expected"),
        [
            ("cosine", 10 * (1 - (0.6 * 0.8 + 0.8 * 0.6))),
            ("cross_entropy", 10 * -(0.8**2 * math.log(0.6**2) + 0.6**2 * math.log(0.8**2))),
        ],
    )
    def test_sexp_on_a_circle(self, absolute: str, expected: float) -> None:
        """S_exp of (ln 3, ln 4) is (0.6, 0.8); a negative second component is class 2, of probability 5 / 8."""
        head = sexp(Sphere(2), absolute=absolute, sign_weight=3.0)
        raw = torch.tensor([math.log(3), math.log(4), 0, 0, math.log(5), 0])
        loss = head.loss(raw, torch.tensor([0.8, -0.6]))
        assert {name: value.item() for name, value in loss.items()} == {
            "absolute": pytest.approx(expected, rel=1e-5),
            "signs": pytest.approx(3 * math.log(8 / 5), rel=1e-5),
        }
        assert head.predict(raw).tolist() == pytest.approx([0.6, -0.8])

    def test_sexp_on_quaternions(self) -> None:
        """S_exp of (0, 0, 0, 0) is (1, 1, 1, 1) / 2; y and z negative are bits 1 and 2, so class 6 of 8."""
        head = sexp(Sphere(4, positive=3))
        raw = torch.zeros(12)
        loss = head.loss(raw, torch.tensor([0.1, -0.7, -0.1, 0.7]))
        assert loss["absolute"].item() == pytest.approx(10 * (1 - 0.8), rel=1e-5)
        assert loss["signs"].item() == pytest.approx(math.log(8))
        raw[4 + 6] = 1
        assert head.predict(raw).tolist() == pytest.approx([0.5, -0.5, -0.5, 0.5])

    def test_a_perfect_prediction_costs_nothing_but_the_entropy(self, sphere: Sphere) -> None:
        target = points(sphere, 20)
        signs = 100 * F.one_hot(sphere.sign_class(target), sphere.classes)
        raw = torch.cat([target.abs().log(), signs], dim=-1)
        nothing = torch.zeros(20, dtype=torch.float64)
        for name in "direct", "flat":
            for loss in heads.build(name, sphere, {}).loss(target, target).values():
                torch.testing.assert_close(loss, nothing, rtol=0, atol=1e-14)
        for loss in sexp(sphere).loss(raw, target).values():
            torch.testing.assert_close(loss, nothing, rtol=0, atol=1e-14)
        entropy = -(target**2 * (target**2).log()).sum(-1)
        result = sexp(sphere, absolute="cross_entropy", absolute_weight=1.0).loss(raw, target)["absolute"]
        torch.testing.assert_close(result, entropy)


class TestSExp:
    def test_each_weight_scales_its_own_part(self, sphere: Sphere, sexp_head: Head) -> None:
        raw, target = raws(sexp_head, 9), points(sphere, 9)
        absolute = sexp_head.settings.model_dump()["absolute"]
        once = sexp_head.loss(raw, target)
        weighted = sexp(sphere, absolute=absolute, absolute_weight=30.0, sign_weight=0.5).loss(raw, target)
        torch.testing.assert_close(weighted["absolute"], 3 * once["absolute"])
        torch.testing.assert_close(weighted["signs"], once["signs"] / 2)

    def test_the_signs_are_those_of_the_most_probable_class(self, sphere: Sphere) -> None:
        head = sexp(sphere)
        raw = raws(head, 100)
        result = head.predict(raw)
        assert torch.equal(sphere.sign_class(result), raw[:, sphere.dim :].argmax(-1))
        torch.testing.assert_close(result.abs(), s_exp(raw[:, : sphere.dim]))
        if sphere.positive is not None:
            assert (result[:, sphere.positive] > 0).all()

    def test_neither_part_learns_from_the_outputs_of_the_other(self, sphere: Sphere, sexp_head: Head) -> None:
        raw, target = raws(sexp_head, 5).requires_grad_(), points(sphere, 5)
        for name, silent in ("absolute", slice(sphere.dim, None)), ("signs", slice(sphere.dim)):
            (gradient,) = torch.autograd.grad(sexp_head.loss(raw, target)[name].sum(), raw)
            assert (gradient[:, silent] == 0).all()
            assert (gradient != 0).any()

    def test_a_constant_added_to_all_exponents_or_all_logits_changes_nothing(
        self, sphere: Sphere, sexp_head: Head
    ) -> None:
        raw, target = raws(sexp_head, 5), points(sphere, 5)
        shifted = raw + torch.cat([torch.full((sphere.dim,), 7.0), torch.full((sphere.classes,), -3.0)])
        for loss, expected in zip(
            sexp_head.loss(shifted, target).values(), sexp_head.loss(raw, target).values(), strict=True
        ):
            torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(sexp_head.predict(shifted), sexp_head.predict(raw))


class TestTheMixtureOfThePublishedForms:
    """S_exp(o / 2) = sqrt(softmax(o)) goes with log_softmax(o), S_exp(o) with log_softmax(2 o)."""

    class Published(SExp):
        """Both from S_exp(o / 2), as the paper's authors did: right as well."""

        def loss(self, raw: Tensor, target: Tensor) -> dict[str, Tensor]:
            return super().loss(raw / 2, target)

        def predict(self, raw: Tensor) -> Tensor:
            return super().predict(raw / 2)

    class Mixture(SExp):
        """The prediction of one with the loss of the other."""

        def predict(self, raw: Tensor) -> Tensor:
            return super().predict(raw / 2)

    @staticmethod
    def bias_deg(head: type[SExp], target: Tensor) -> Tensor:
        settings = head.Settings(absolute="cross_entropy", absolute_weight=4.0, sign_weight=1.0)
        built = head(Sphere(target.shape[-1]), settings)
        return angles_deg(built.predict(minimiser(built, target)), target)

    @pytest.mark.parametrize("dim", [2, 3, 4])
    def test_the_published_form_is_right(self, dim: int) -> None:
        target = points(Sphere(dim), 50)
        assert (self.bias_deg(self.Published, target) < 1e-4).all()

    @pytest.mark.parametrize(("dim", "worst_deg"), [(2, 12.8), (3, 16.7), (4, 19.3)])
    def test_the_mixture_is_biased(self, dim: int, worst_deg: float) -> None:
        """Its minimiser has softmax(2 o)_i = y_i^2, so that it predicts sqrt(y_i / sum_k y_k): 13 degrees off where
        the circle is worst, and more in higher dimensions."""
        small = torch.linspace(0.05, 0.95, 91, dtype=torch.float64)[:, None]
        target = torch.cat([torch.ones_like(small), small.expand(-1, dim - 1)], dim=-1)
        target /= target.square().sum(-1, keepdim=True).sqrt()
        bias = self.bias_deg(self.Mixture, target)
        roots = (target / target.sum(-1, keepdim=True)).sqrt()
        torch.testing.assert_close(bias, angles_deg(roots, target), rtol=0, atol=1e-4)
        assert (bias > 0.5).all()
        assert bias.max().item() == pytest.approx(worst_deg, abs=0.1)


class TestBuild:
    def test_the_names(self) -> None:
        assert list(heads.HEADS) == ["direct", "flat", "sexp"]
        for name, settings in SETTINGS.values():
            assert type(heads.build(name, Sphere(2), settings)).__name__.lower() == name

    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("direct", {"weight": 1.0}),
            ("flat", SEXP),
            ("sexp", {}),
            ("sexp", SEXP | {"absolute": "sine"}),
            ("sexp", SEXP | {"absolute_weight": 0.0}),
            ("sexp", SEXP | {"sign_weight": -1.0}),
            ("sexp", SEXP | {"sign_weight": math.inf}),
            ("sexp", SEXP | {"more": 1}),
        ],
    )
    def test_settings_that_are_not_the_heads_own(self, name: str, settings: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            heads.build(name, Sphere(2), settings)
