"""How far a run's draws are from a posterior's reference figures, in standard errors of both.

References are posteriordb's where the folder `shared` lies beside the clone, and long runs of a peer in `references/`
(made by `make_references.py`) for the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import posteriors
from measures import effective_draws_plain

__all__ = ["misses", "worst_z"]

FOLDER = Path(__file__).resolve().parent / "references"
LIMIT = 4.5


def misses(z: float) -> bool:
    """Say whether a run is too far from its reference: 4.5 standard errors, 7e-6 a figure by chance."""
    return not z < LIMIT


def load(name: str) -> dict[str, Any] | None:
    """Return a posterior's reference figures by parameter, or None where it has none."""
    stored = FOLDER / f"{name}.json"
    if stored.exists():
        return json.loads(stored.read_text())
    key = getattr(posteriors.load(name), "REFERENCE", None)
    found = posteriors.shared(key) if key else None
    return found and found["reference"]


def components(name: str, draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return draws by the names of reference figures, `theta[1]` counting from 1, each of shape (chains, draws)."""
    module = posteriors.load(name)
    columns = {}
    for key, value in getattr(module, "quantities", lambda same: same)(draws).items():
        if value.ndim == 2:
            columns[key] = value
        else:
            flat = value.reshape(*value.shape[:2], -1)
            columns |= {f"{key}[{k + 1}]": flat[..., k] for k in range(flat.shape[-1])}
    return columns


def moments(column: np.ndarray) -> dict[str, float]:
    """Return the mean and mean of squares of draws with their Monte Carlo standard errors; draws: (chains, draws)."""
    figures = {}
    half = column.shape[1] // 2
    for label, values in (("mean", column), ("mean_sq", column**2)):
        split = np.concatenate([values[:, :half], values[:, -half:]])
        figures[label] = float(values.mean())
        figures[f"mcse_{label}"] = float(values.std() / np.sqrt(effective_draws_plain(split)))
    return figures


def worst_z(name: str, draws: dict[str, np.ndarray]) -> float | None:
    """Return the largest |difference| in standard errors over means and means of squares; None without a reference.

    nan, which misses, where a chain stood still.
    """
    reference = load(name)
    if reference is None:
        return None
    worst = 0.0
    for key, column in components(name, draws).items():
        if key not in reference:
            continue
        own = moments(column)
        for label in ("mean", "mean_sq"):
            error = np.hypot(own[f"mcse_{label}"], reference[key][f"mcse_{label}"])
            z = abs(own[label] - reference[key][label]) / error if error > 0 else float("nan")
            worst = max(worst, float(z)) if z == z else float("nan")
            if worst != worst:
                return worst
    return worst
