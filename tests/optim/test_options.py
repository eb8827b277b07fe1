"""Options by name, their comparison, and their check against a signature."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from pyroxene.errors import OptionError
from pyroxene.optim.options import ByName, Clip, check_options, equal, make_clip


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda name: {"got": name}, "m.w"),
        (lambda module, name: {"got": (module, name)}, ("m", "w")),
        (lambda name, scale=2: {"got": name}, "m.w"),
        (lambda *names: {"got": names}, ("m.w",)),
        (functools.partial(lambda scale, name: {"got": name}, 3), "m.w"),
    ],
)
def test_functions_of_the_name_by_their_arguments(function, expected):
    assert ByName(function, "optim_args")("m$$$w") == {"got": expected}


def test_a_dict_holds_for_every_name():
    given = {"lr": 1.0}
    assert ByName(given, "optim_args")("anything") is given


def test_check_options():
    def make(params, lr, eps=1e-3):
        """Stand in for an optimiser."""

    check_options(make, {"lr": 1}, "params")
    check_options(lambda params, **kwargs: None, {"anything": 1}, "params")
    with pytest.raises(OptionError, match="make has no option momentum"):
        check_options(make, {"lr": 1, "momentum": 2}, "params")
    with pytest.raises(OptionError, match="make needs the option lr"):
        check_options(make, {"eps": 1}, "params")
    with pytest.raises(OptionError, match="make has no option params"):
        check_options(make, {"lr": 1, "params": []}, "params")


def test_equal_is_certain():
    tensor = torch.ones(2)
    assert equal({"lr": 0.1, "betas": (0.9, 0.99)}, {"lr": 0.1, "betas": (0.9, 0.99)})
    assert equal({"lr": tensor}, {"lr": tensor})
    assert not equal({"lr": tensor}, {"lr": tensor.clone()})
    assert not equal({"lr": 0.1}, {"lr": 0.2})
    assert not equal({"lr": 0.1}, {"eps": 0.1})
    assert not equal((1, 2), (1, 2, 3))
    assert not equal({"x": np.ones(2)}, {"x": np.ones(2)})
    assert not equal(True, 1)


def test_make_clip():
    assert make_clip({}) is None
    assert make_clip({"clip_norm": None}) is None
    assert make_clip({"clip_norm": 2.0}) == Clip(norm=2.0)
    assert make_clip({"clip_value": 0.0}) == Clip(value=0.0)


def test_clip_of_expanded_gradients():
    param = torch.zeros(4, requires_grad=True)
    param.grad = torch.tensor(3.0).expand(4)
    Clip(norm=2.0, value=0.75)([param])
    assert param.grad.tolist() == [0.75] * 4
