from __future__ import annotations

import math
import random

import pytest

from pyroxene.ops.dual_averaging import DualAveraging


def test_the_first_steps_are_the_paper_s():
    """Hoffman and Gelman 2014, equation 6, by hand: t0 = 10, gamma = 0.05, kappa = 0.75."""
    steering = DualAveraging(prox_center=1.0)
    steering.step(0.5)
    mean = 0.5 / 11
    first = 1.0 - mean / 0.05
    assert steering.get_state() == pytest.approx((first, first))
    steering.step(-0.25)
    mean += (-0.25 - mean) / 12
    second = 1.0 - math.sqrt(2.0) / 0.05 * mean
    share = 2.0**-0.75
    assert steering.get_state() == pytest.approx((second, share * second + (1.0 - share) * first))


def test_a_noisy_root_is_found():
    """E[g(x)] = tanh(x - 3): the average settles at 3, although each step is noise of the signal's size."""
    steering, noise = DualAveraging(), random.Random(0)
    for _ in range(5000):
        x, _ = steering.get_state()
        steering.step(math.tanh(x - 3.0) + noise.uniform(-1.0, 1.0))
    assert steering.get_state()[1] == pytest.approx(3.0, abs=0.3)


def test_a_reset_forgets_all_but_the_center():
    steering, fresh = DualAveraging(prox_center=2.0), DualAveraging(prox_center=2.0)
    for g in (0.3, -0.8, 0.1):
        steering.step(g)
    steering.reset()
    assert steering.get_state() == fresh.get_state()
    for each in (steering, fresh):
        each.step(0.4)
    assert steering.get_state() == fresh.get_state()


def test_a_gentler_gamma_takes_longer_steps():
    bold, timid = DualAveraging(gamma=0.01), DualAveraging(gamma=1.0)
    for each in (bold, timid):
        each.step(1.0)
    assert bold.get_state()[0] == pytest.approx(100.0 * timid.get_state()[0])
