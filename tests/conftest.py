"""What every test stands on: one thread, a seed, an empty parameter store, no handler left behind."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

collect_ignore = ["introduction.py"]  # a program, run by test_introduction.py

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _clean_language():
    import pyroxene

    pyroxene.clear_param_store()
    pyroxene.set_rng_seed(0)
    yield
    left = list(pyroxene.poutine.runtime._PYRO_STACK)
    del pyroxene.poutine.runtime._PYRO_STACK[:]
    pyroxene.clear_param_store()
    assert left == [], "a handler is still active after the test"


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data and of Pyro's interface; a clone on a user's machine has none beside it."""
    if not SHARED.is_dir():
        pytest.skip("the folder of reference data, ../shared, is not beside this clone")
    return SHARED
