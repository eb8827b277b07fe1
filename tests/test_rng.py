"""Seeds and generator states."""

from __future__ import annotations

import random

import numpy as np
import torch

import pyroxene as pyro
from pyroxene import rng


def draws():
    return torch.rand(2).tolist(), random.random(), np.random.rand()


def test_set_rng_seed_seeds_all_three():
    pyro.set_rng_seed(7)
    first = draws()
    pyro.set_rng_seed(7)
    assert draws() == first
    pyro.set_rng_seed(8)
    assert draws() != first
    pyro.set_rng_seed(2**40 + 1)  # beyond numpy's range


def test_states_round_trip():
    state = rng.get_rng_state()
    first = draws()
    rng.set_rng_state(state)
    assert draws() == first


def test_a_missing_generator_is_left_alone():
    state = rng.get_rng_state()
    random.seed(5)
    expected = random.Random(5).random()
    rng.set_rng_state({"torch": state["torch"]})
    assert random.random() == expected


def test_pyro_s_path_gives_the_same_functions():
    import pyroxene.util

    assert pyroxene.util.set_rng_seed is pyro.set_rng_seed
    assert pyroxene.util.get_rng_state is rng.get_rng_state and pyroxene.util.set_rng_state is rng.set_rng_state
