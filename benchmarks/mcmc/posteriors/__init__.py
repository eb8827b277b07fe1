"""The posteriors of the benchmark: one file each, with its data and one model for each peer, all of the same density.

A file holds
    data()            arrays by name, seeded: what every model is given. Scalars are 0-d arrays
    sizes(data)       the integers that a Stan program declares beside the data
    pyroxene_model()  the model as a user writes it. Pyro's is the same with the import changed
    numpyro_model()   the same for NumPyro
    pymc_model(data)  the same for PyMC, a pm.Model
    STAN              the same for Stan
and may hold
    pyroxene_loop()   the model with a Python loop in the place of tensor operations
    quantities(draws) what reference figures are stored for, from the sampled sites
    INIT_RADIUS       starting points are uniform within this distance of 0 (2 where it is not given)

Latent sites have one name and one meaning in all languages, and supports whose map from the reals is the same
everywhere (identity, exp, logistic), so that a point in unconstrained space is the same point for every peer. Flat
priors are masked sites in Pyro's interface, whose ImproperUniform has no first draw; in NumPyro a mask takes the
Jacobian away too, so they are ImproperUniform there. Packages are imported inside the functions: each interpreter has
only its own.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["NAMES", "load", "shared"]

NAMES = (
    "eight_schools_noncentred",
    "eight_schools_centred",
    "logistic_small",
    "logistic_large",
    "radon",
    "ar5",
    "garch11",
    "gaussian_process",
    "irt_2pl",
    "gaussian_mixture",
    "hmm",
    "horseshoe",
    "lotka_volterra",
    "kidscore",
)
SHARED = Path(__file__).resolve().parents[4] / "shared" / "posteriors"


def load(name: str) -> ModuleType:
    """Return a posterior's module."""
    if name not in NAMES:
        raise SystemExit(f"no posterior {name!r}; there are: {', '.join(NAMES)}")
    return importlib.import_module(f"posteriors.{name}")


def shared(name: str) -> dict[str, Any] | None:
    """Return a file of the folder of reference posteriors beside the clone, None where there is no such folder."""
    path = SHARED / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def shared_arrays(name: str) -> dict[str, np.ndarray] | None:
    """Return the data of a reference posterior as arrays, None where the folder is not there."""
    found = shared(name)
    return None if found is None else {key: np.asarray(value) for key, value in found["data"].items()}
