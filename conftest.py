"""What every test and doctest stands on: one thread, a seed, an empty parameter store, no handler left behind."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch

import pyroxene

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _clean_language():
    pyroxene.clear_param_store()
    pyroxene.set_rng_seed(0)
    yield
    left = list(pyroxene.poutine.runtime._PYRO_STACK)
    del pyroxene.poutine.runtime._PYRO_STACK[:]
    pyroxene.clear_param_store()
    assert left == [], "a handler is still active after the test"
