"""Seeds and states of the random number generators that a model can draw from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

__all__ = ["get_rng_state", "set_rng_seed", "set_rng_state"]


def set_rng_seed(rng_seed: int) -> None:
    """Seed torch, `random` and numpy.

    Args:
        rng_seed: any integer; numpy takes it modulo 2**32.

    Example:
        >>> set_rng_seed(0); first = torch.rand(3)
        >>> set_rng_seed(0); bool((torch.rand(3) == first).all())
        True
    """
    torch.manual_seed(rng_seed)
    random.seed(rng_seed)
    np.random.seed(rng_seed % 2**32)


def get_rng_state() -> dict[str, Any]:
    """Return the states of torch's, `random`'s and numpy's generators, for `set_rng_state`."""
    return {"torch": torch.get_rng_state(), "random": random.getstate(), "numpy": np.random.get_state()}


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore generator states that `get_rng_state` returned; a missing generator is left alone."""
    if "torch" in state:
        torch.set_rng_state(state["torch"])
    if "random" in state:
        random.setstate(state["random"])
    if "numpy" in state:
        np.random.set_state(state["numpy"])
