"""From a handler class to a function that wraps, decorates or opens a block."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import UsageError
from pyroxene.poutine.handlers import _make_handler
from pyroxene.poutine.messenger import Messenger


class MultiplyMessenger(Messenger):
    def __init__(self, factor=1):
        super().__init__()
        self.factor = factor

    def _pyro_post_sample(self, msg):
        msg["value"] = msg["value"] * self.factor


@_make_handler(MultiplyMessenger)
def multiply(fn=None, factor=1):
    """Multiply values."""


def draw():
    return pyroxene.sample("x", dist.Delta(torch.tensor(2.0)))


def test_three_forms():
    assert multiply(draw, factor=3)() == multiply(draw, 3)() == 6

    @multiply(factor=4)
    def decorated():
        return draw()

    assert decorated() == 8
    with multiply(factor=5) as messenger:
        assert draw() == 10
    assert type(messenger) is MultiplyMessenger
    assert multiply.__name__ == "multiply" and multiply.__doc__ == "Multiply values."
    assert _make_handler(MultiplyMessenger, __name__)(lambda fn: None).__module__ == __name__


@pytest.mark.parametrize("wrong", [lambda: poutine.scale(2.0), lambda: poutine.seed(3), lambda: poutine.trace(3)])
def test_a_first_argument_that_cannot_be_wrapped(wrong):
    with pytest.raises(UsageError, match="is not callable, did you mean to pass it by keyword") as caught:
        wrong()
    assert caught.value.hint


def test_handlers_may_be_given_what_lift_and_condition_take():
    with pytest.raises(TypeError):
        poutine.condition({"x": torch.tensor(1.0)})
