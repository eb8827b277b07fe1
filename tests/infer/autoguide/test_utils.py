"""Attributes by dotted paths, full-size values, quantile levels."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import transforms

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import biject_to, constraints
from pyroxene.infer.autoguide import AutoDiagonalNormal, AutoNormal, init_to_value
from pyroxene.infer.autoguide.utils import (
    _product,
    check_init_scale,
    deep_getattr,
    deep_setattr,
    full_size_value,
    levels_of,
)
from pyroxene.nn import PyroModule, PyroParam


def test_dotted_paths():
    module = PyroModule("root")
    deep_setattr(module, "a.b.c", PyroParam(torch.tensor(1.0), constraints.positive))
    deep_setattr(module, "a.d", PyroParam(torch.tensor(2.0)))
    deep_setattr(module, "e", torch.nn.Parameter(torch.tensor(3.0)))
    assert [deep_getattr(module, path).item() for path in ("a.b.c", "a.d", "e")] == [1.0, 2.0, 3.0]
    assert [name for name, _ in module.named_pyro_params()] == ["e", "a.d", "a.b.c"]
    assert isinstance(module.a.b, PyroModule)
    with pytest.raises(AttributeError, match="nothing"):
        deep_getattr(module, "a.nothing")


def test_a_parameter_called_as_a_method_of_modules():
    module = PyroModule()
    deep_setattr(module, "half", PyroParam(torch.tensor(0.5)))
    assert deep_getattr(module, "half").item() == 0.5


def test_product():
    assert _product(()) == 1
    assert _product(torch.Size([2, 3])) == 6


def test_full_size_value():
    def model():
        with pyroxene.plate("rows", 5, subsample_size=2, dim=-2), pyroxene.plate("columns", 3, dim=-1):
            pyroxene.sample("z", dist.Normal(torch.zeros(2, 3, 4), 1.0).to_event(1))

    site = poutine.trace(model).get_trace().nodes["z"]
    value = torch.arange(24.0).reshape(2, 3, 4)
    full = full_size_value(value, site, 1)
    assert full.shape == (5, 3, 4)
    assert torch.equal(full, value[[0, 1, 0, 1, 0]])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), True, "0.1", None])
def test_scales_that_are_refused(scale):
    with pytest.raises(ValueError, match="AutoNormal starts at a standard deviation"):
        check_init_scale("AutoNormal", scale)


def test_levels():
    loc = torch.zeros(2, dtype=torch.float64)
    levels = levels_of([0.1, 0.9], biject_to(constraints.positive), loc)
    assert levels.shape == (2, 1) and levels.dtype == torch.float64
    assert levels.flatten().tolist() == [0.1, 0.9]
    assert levels_of([0.1], biject_to(constraints.simplex), loc).item() == 0.1
    assert levels_of([0.25], transforms.AffineTransform(0.0, -1.0), loc).item() == 0.75
    with pytest.raises(ValueError, match="quantiles are probabilities"):
        levels_of([1.5], biject_to(constraints.real), loc)


@pytest.mark.parametrize("make", [AutoNormal, AutoDiagonalNormal])
def test_quantiles_below_an_upper_bound_increase(make):
    """The map to {x < 2} decreases; its quantiles do not: the 10 % quantile of 2 - exp(u) is 2 - exp(u's 90 %)."""
    prior = dist.ImproperUniform(constraints.less_than(2.0), (), ())
    start = init_to_value(values={"x": torch.tensor(1.0)}, fallback=None)
    guide = make(lambda: pyroxene.sample("x", prior), init_loc_fn=start)
    quantiles = guide.quantiles([0.1, 0.5, 0.9])["x"]
    expected = 2.0 - (0.1 * torch.tensor([1.2815516, 0.0, -1.2815516])).exp()
    torch.testing.assert_close(quantiles, expected, atol=1e-5, rtol=1e-5)
