"""Ordered vectors and cutpoints: known values and far inputs."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions import transforms as T


def test_ordered_values() -> None:
    torch.testing.assert_close(
        T.OrderedTransform()(torch.tensor([-2.0, 0.0, math.log(3.0)])), torch.tensor([-2.0, -1, 2])
    )


def test_ordered_log_jacobian_of_one_entry_is_zero() -> None:
    x = torch.randn(4, 1)
    assert torch.equal(T.OrderedTransform().log_abs_det_jacobian(x, x), torch.zeros(4))


def test_cutpoints_are_logits_of_cumulative_probabilities() -> None:
    y = T.SimplexToOrderedTransform(2.0)(torch.tensor([0.2, 0.3, 0.5]))
    torch.testing.assert_close(y, torch.tensor([0.2, 0.5]).logit() + 2)


def test_an_anchor_does_not_change_the_log_jacobian() -> None:
    x = torch.tensor([0.2, 0.3, 0.5])
    plain, anchored = T.SimplexToOrderedTransform(), T.SimplexToOrderedTransform(torch.tensor([0.0, 3.0]))
    result = anchored.log_abs_det_jacobian(x, anchored(x))
    torch.testing.assert_close(result, plain.log_abs_det_jacobian(x, plain(x)).expand(2))
    torch.testing.assert_close(result, torch.full((2,), math.log(25.0)))  # 1 / (0.2 * 0.8 * 0.5 * 0.5)
    assert anchored.forward_shape(x.shape) == anchored(x).shape == (2, 2)


def test_probabilities_between_far_cutpoints_keep_their_precision() -> None:
    y = torch.tensor([30.0, 31.0])
    x = T.SimplexToOrderedTransform().inv(y)
    exact = torch.tensor([math.exp(-30) - math.exp(-31), math.exp(-31)])
    torch.testing.assert_close(x[1:], exact, rtol=1e-5, atol=0.0)
    assert constraints.simplex.check(x)
