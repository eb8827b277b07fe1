"""Pyroxene: probabilistic programs in Python and PyTorch. This file hands names on and defines nothing."""

from __future__ import annotations

from pyroxene import (
    compat,
    density,
    distributions,
    infer,
    nn,
    ops,
    optim,
    params,
    poutine,
    primitives,
    settings,
)
from pyroxene._version import __version__
from pyroxene.density import explain
from pyroxene.infer.inspect import render_model
from pyroxene.logger import log
from pyroxene.primitives import (
    barrier,
    clear_param_store,
    condition,
    deterministic,
    do,
    enable_validation,
    factor,
    get_param_store,
    markov,
    module,
    param,
    plate,
    plate_stack,
    sample,
    subsample,
    validation_enabled,
)
from pyroxene.rng import set_rng_seed
from pyroxene.scan import scan

compat.install_paths()  # Pyro's deep module paths; `import pyroxene.util` and its like find their names

__all__ = [
    "__version__",
    "barrier",
    "clear_param_store",
    "compat",
    "condition",
    "density",
    "deterministic",
    "distributions",
    "do",
    "enable_validation",
    "explain",
    "factor",
    "get_param_store",
    "infer",
    "log",
    "markov",
    "module",
    "nn",
    "ops",
    "optim",
    "param",
    "params",
    "plate",
    "plate_stack",
    "poutine",
    "primitives",
    "render_model",
    "sample",
    "scan",
    "set_rng_seed",
    "settings",
    "subsample",
    "validation_enabled",
]
