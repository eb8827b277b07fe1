"""Optimisers of a loss: Newton's method to the closed form, torch's by gradient, and mixtures from one point."""

from __future__ import annotations

import pytest
import torch

from pyroxene import optim
from pyroxene.errors import MissingParamError, OptionError, UsageError
from pyroxene.optim.multi import MixedMultiOptimizer, MultiOptimizer, Newton, PyroMultiOptimizer, TorchMultiOptimizer


def make_params() -> dict[str, torch.Tensor]:
    return {
        "x": torch.tensor([2.0], requires_grad=True),
        "y": torch.tensor([1.0, 2.0], requires_grad=True),
        "z": torch.ones(2, 3, requires_grad=True),
    }


def loss_of(p: dict[str, torch.Tensor]) -> torch.Tensor:
    return (p["x"] ** 2).sum() + ((p["y"] - 1) ** 2).sum() + ((p["z"] - 3) ** 2).sum() * p["y"][0]


def test_newton_reaches_the_minimum_of_a_quadratic():
    params = make_params()
    Newton().step(loss_of(params), params)
    torch.testing.assert_close(params["x"].detach(), torch.tensor([0.0]))
    torch.testing.assert_close(params["y"].detach(), torch.tensor([-11.0, 1.0]))  # d/dy0 = 2 (y0 - 1) + 24
    torch.testing.assert_close(params["z"].detach(), torch.full((2, 3), 3.0))


def test_newton_within_a_trust_region():
    params = make_params()
    Newton({"x": 0.1, "absent": 3.0}).step(loss_of(params), params)
    torch.testing.assert_close(params["x"].detach(), torch.tensor([1.9]))
    torch.testing.assert_close(params["y"].detach(), torch.tensor([-11.0, 1.0]))


def test_get_step_is_differentiable_and_changes_nothing():
    scale = torch.tensor(4.0, requires_grad=True)
    params = {"x": torch.tensor([2.0], requires_grad=True)}
    updated = Newton().get_step(((params["x"] - scale.sqrt()) ** 2).sum(), params)
    assert params["x"].item() == 2.0
    (gradient,) = torch.autograd.grad(updated["x"].sum(), scale)
    assert gradient.item() == pytest.approx(0.25)  # the minimum is sqrt(scale)


@pytest.mark.parametrize(
    "make",
    [lambda: PyroMultiOptimizer(optim.Adam({"lr": 0.1})), lambda: TorchMultiOptimizer(torch.optim.Adam, {"lr": 0.1})],
)
def test_gradient_optimisers(make):
    params, plain = make_params(), make_params()
    optimizer, adam = make(), torch.optim.Adam(plain.values(), lr=0.1)
    for _ in range(3):
        optimizer.step(loss_of(params), params)
        adam.zero_grad()
        loss_of(plain).backward()
        adam.step()
    for mine, its in zip(params.values(), plain.values()):
        torch.testing.assert_close(mine, its)
    with pytest.raises(NotImplementedError):
        optimizer.get_step(loss_of(params), params)


@pytest.mark.parametrize("newton_first", [True, False])
def test_mixture_steps_every_part_from_the_same_point(newton_first):
    parts = [(["y"], Newton()), (["x", "z"], optim.SGD({"lr": 0.1}))]
    params = make_params()
    mixture = MixedMultiOptimizer(parts if newton_first else parts[::-1])
    mixture.step(loss_of(params), params)
    torch.testing.assert_close(params["y"].detach(), torch.tensor([-11.0, 1.0]))
    torch.testing.assert_close(params["x"].detach(), torch.tensor([1.6]))
    torch.testing.assert_close(params["z"].detach(), torch.full((2, 3), 1.4))


def test_mixture_of_differentiable_steps():
    params = make_params()
    mixture = MixedMultiOptimizer([(["x"], Newton()), (["z"], Newton({"z": 0.5}))])
    updated = mixture.get_step(loss_of(params), params)
    assert list(updated) == ["x", "z"]
    assert (updated["z"] - 1).norm(dim=-1).max() <= 0.5
    assert params["z"].eq(1).all()


def test_parameters_of_no_part_stay():
    params = make_params()
    MixedMultiOptimizer([(["x"], Newton())]).step(loss_of(params), params)
    assert params["x"].item() == 0.0
    assert params["y"].tolist() == [1.0, 2.0]


def test_own_optimiser_that_only_steps():
    class Zero(MultiOptimizer):
        def step(self, loss, params):
            for value in params.values():
                value.data.zero_()

    params = make_params()
    MixedMultiOptimizer([(["x"], Newton()), (["y"], Zero())]).step(loss_of(params), params)
    assert params["y"].tolist() == [0.0, 0.0]


def test_mistakes():
    with pytest.raises(UsageError, match="two different optimizers"):
        MixedMultiOptimizer([(["x", "y"], Newton()), (["x"], Newton())])
    with pytest.raises(OptionError, match="must hold an optimiser"):
        MixedMultiOptimizer([(["x"], 3)])
    params = make_params()
    with pytest.raises(KeyError, match="no parameter 'q'"):
        MixedMultiOptimizer([(["q"], Newton())]).step(loss_of(params), params)
    assert issubclass(MissingParamError, KeyError)
    with pytest.raises(NotImplementedError, match="MultiOptimizer"):
        MultiOptimizer().step(loss_of(params), params)
