"""The three parts of a gradient estimate."""

from __future__ import annotations

import torch

import pyroxene.distributions as dist
from pyroxene.distributions import ScoreParts


def test_scale_and_mask_leaves_the_score_function():
    parts = ScoreParts(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor([5.0, 6.0]))
    scaled = parts.scale_and_mask(2.0, torch.tensor([True, False]))
    assert torch.equal(scaled.log_prob, torch.tensor([2.0, 0.0]))
    assert scaled.score_function is parts.score_function
    assert torch.equal(scaled.entropy_term, torch.tensor([10.0, 0.0]))


def test_zero_parts_stay_numbers():
    parts = dist.Normal(0.0, 1.0).score_parts(torch.tensor(0.0)).scale_and_mask(torch.tensor(2.0))
    assert parts.score_function == 0 and isinstance(parts.score_function, int)
