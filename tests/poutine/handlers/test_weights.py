"""`scale` and `mask`."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import OptionError, UsageError
from pyroxene.poutine.handlers import MaskMessenger, ScaleMessenger


def model():
    with pyroxene.plate("p", 3):
        return pyroxene.sample("x", dist.Normal(0.0, 1.0), obs=torch.arange(3.0))


def density(fn):
    trace = poutine.trace(fn).get_trace()
    trace.compute_log_prob()
    return trace.nodes["x"]["log_prob"]


PLAIN = dist.Normal(0.0, 1.0).log_prob(torch.arange(3.0))
MASK, FIRST = torch.tensor([True, False, True]), torch.tensor([True, False, False])


@pytest.mark.parametrize("scale", [2, 2.0, True, torch.tensor(2.0), torch.tensor([1.0, 2.0, 3.0])])
def test_scale_in_three_forms(scale):
    @poutine.scale(scale=scale)
    def decorated():
        return model()

    def inside():
        with poutine.scale(scale=scale) as messenger:
            assert isinstance(messenger, ScaleMessenger)
            return model()

    for form in (poutine.scale(model, scale), poutine.scale(model, scale=scale), decorated, inside):
        torch.testing.assert_close(density(form), PLAIN * scale)


def test_scales_multiply_with_each_other_and_with_the_plates():
    def subsampled():
        with poutine.scale(scale=2.0), pyroxene.plate("p", 10, 5), poutine.scale(scale=3.0):
            pyroxene.sample("x", dist.Normal(0.0, 1.0))

    assert poutine.trace(subsampled).get_trace().nodes["x"]["scale"] == 12.0


@pytest.mark.parametrize("scale", [-1.0, 0.0, torch.tensor([1.0, -1.0])])
def test_scales_are_positive(scale):
    with pytest.raises(UsageError, match="scale must be positive"):
        poutine.scale(model, scale=scale)


def test_a_scale_is_a_number():
    with pytest.raises(TypeError) as caught:
        poutine.scale(model, scale="a")
    assert isinstance(caught.value, OptionError)


@pytest.mark.parametrize(
    ("masks", "kept"),
    [((MASK,), MASK), ((True,), True), ((False,), False), ((MASK, False), False), ((False, MASK), False),
     ((MASK, True), MASK), ((MASK, ~MASK), False), ((MASK, FIRST | ~MASK), FIRST)],
)  # fmt: skip
def test_masks_combine(masks, kept):
    fn = model
    for mask in masks:
        fn = poutine.mask(fn, mask=mask)
    torch.testing.assert_close(density(fn), torch.where(torch.as_tensor(kept), PLAIN, torch.zeros(3)))


def test_mask_as_decorator_and_context_manager():
    @poutine.mask(mask=MASK)
    def decorated():
        return model()

    def inside():
        with poutine.mask(mask=MASK) as messenger:
            assert isinstance(messenger, MaskMessenger)
            return model()

    for form in (decorated, inside):
        torch.testing.assert_close(density(form), PLAIN * MASK)


def test_a_mask_inside_a_plate():
    def inside():
        with pyroxene.plate("p", 3), poutine.mask(mask=MASK):
            pyroxene.sample("x", dist.Normal(0.0, 1.0), obs=torch.arange(3.0))

    torch.testing.assert_close(density(inside), PLAIN * MASK)


@pytest.mark.parametrize("mask", [torch.ones(3), 1, None])
def test_masks_are_boolean(mask):
    with pytest.raises(ValueError, match="bool"):
        poutine.mask(model, mask=mask)
