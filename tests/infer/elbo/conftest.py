"""How far the mean of an estimator's draws lies from its exact value."""

from __future__ import annotations

import math

import pytest
import torch


@pytest.fixture
def z_scores():
    """Return a function: (mean - exact) / standard error, of `count` independent draws, elementwise.

    Tests ask for |z| < 7. Student's t with 199 degrees of freedom leaves (-7, 7) once in 2.5e10; draws here average 30
    particles or are bounded, so that their means of 200 are that near to normal: each comparison fails at most once in
    1e8.
    """

    def compute(draw, exact, count=200):
        values = torch.stack([torch.as_tensor(draw(), dtype=torch.float64) for _ in range(count)])
        error = values.std(0) / math.sqrt(count)
        return (values.mean(0) - torch.as_tensor(exact, dtype=torch.float64)) / error.clamp(min=1e-12)

    return compute
