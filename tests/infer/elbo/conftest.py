"""A conjugate model with known ELBO gradients, which every estimator must match on average."""

from __future__ import annotations

import math

import pytest
import torch


@pytest.fixture
def z_scores():
    """Return a function: mean and z-score of many draws of a gradient against its exact value.

    Used with |z| < 6: a correct estimator fails once in 5e8 by the normal approximation, which 1500 draws justify.
    """

    def compute(draw, exact, count=1500):
        values = torch.stack([torch.as_tensor(draw(), dtype=torch.float64) for _ in range(count)])
        error = values.std(0) / math.sqrt(count)
        return (values.mean(0) - torch.as_tensor(exact, dtype=torch.float64)) / error.clamp(min=1e-12)

    return compute
