"""What the runners of all peers share: options, data, one processor, and the JSON line that they end with."""

from __future__ import annotations

import os
import sys
import time

START = time.perf_counter()
for variable in (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
):
    os.environ[variable] = "1"

import argparse  # noqa: E402 -- the threads are set before anything that starts some
import json  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import posteriors  # noqa: E402

__all__ = ["Job", "read_job", "repeat", "run", "timed"]


class Job:
    """What a runner is asked for.

    Attributes:
        posterior: the posterior's module.
        data: its arrays by name.
        options: chains, warmup, draws, seeds, first_seed, method, seconds.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.posterior = posteriors.load(options.posterior)
        with np.load(options.data) as found:
            self.data = {key: found[key] for key in found.files}
        self.init_radius = getattr(self.posterior, "INIT_RADIUS", 2.0)

    @property
    def seeds(self) -> range:
        """The seeds of the warm runs."""
        return range(self.options.first_seed, self.options.first_seed + self.options.seeds)

    def save(self, seed: int | str, draws: dict[str, Any]) -> str:
        """Write draws, each of shape (chains, draws, ...), and return the file's path."""
        path = Path(self.options.out) / f"{self.options.posterior}-{self.options.label}-{seed}.npz"
        np.savez(path, **{name: np.asarray(value, dtype=float) for name, value in draws.items()})
        return str(path)

    def points(self) -> dict[str, np.ndarray]:
        """Return unconstrained points, each site's of shape (points, ...), at which densities are compared."""
        with np.load(self.options.points) as found:
            return {key: found[key] for key in found.files}

    def save_density(self, values: list[float], gradients: dict[str, list[Any]]) -> str:
        """Write log densities and gradients at the points, and return the file's path."""
        path = Path(self.options.out) / f"density-{self.options.posterior}-{self.options.label}.npz"
        arrays = {f"gradient:{name}": np.asarray(value, dtype=float) for name, value in gradients.items()}
        np.savez(path, value=np.asarray(values, dtype=float), **arrays)
        return str(path)


def read_job() -> Job:
    """Read the command line; keep to one processor unless the figure is a cold one."""
    command = argparse.ArgumentParser()
    command.add_argument("--posterior", required=True)
    command.add_argument("--figure", required=True, choices=["gradient", "warm", "cold", "density"])
    command.add_argument("--data", required=True, help="an .npz file")
    command.add_argument("--out", required=True, help="a folder for draws")
    command.add_argument("--label", required=True, help="part of the names of files written")
    command.add_argument("--points", help="an .npz file of unconstrained points, for the figure density")
    command.add_argument("--chains", type=int, default=4)
    command.add_argument("--warmup", type=int, default=1000)
    command.add_argument("--draws", type=int, default=1000)
    command.add_argument("--seeds", type=int, default=1)
    command.add_argument("--first-seed", type=int, default=0)
    command.add_argument("--method", default="", help="a variant of the runner's own")
    command.add_argument("--seconds", type=float, default=1.0, help="how long to repeat a gradient")
    options = command.parse_args()
    if options.figure != "cold" and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[-1]})
    return Job(options)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds a call takes, and what it returns."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def repeat(function: Callable[[int], Any], seconds: float) -> float:
    """Return the seconds of one repetition inside `function(count)`: the best of five rounds that last `seconds`."""

    def time_of(count: int) -> float:
        return timed(lambda: function(count))[0]

    count = 1
    while (elapsed := time_of(count)) < seconds / 20:
        count *= 4
    count = max(1, int(count * seconds / 5 / elapsed))
    return min(time_of(count) for _ in range(5)) / count


def summary(draws: dict[str, Any]) -> None:
    """Print a table of means, standard deviations, R-hat and bulk effective draws: what a script ends with."""
    from measures import effective_draws, potential_scale_reduction

    for name, value in draws.items():
        flat = np.asarray(value, dtype=float)
        flat = flat.reshape(*flat.shape[:2], -1)
        for k in range(min(flat.shape[-1], 20)):
            column = flat[..., k]
            figures = column.mean(), column.std(), potential_scale_reduction(column), effective_draws(column)
            print(f"{name}[{k}]", " ".join(f"{figure:10.3f}" for figure in figures), file=sys.stderr)


def run(peer: Callable[[Job], Any]) -> None:
    """Do a job with a peer and print its figures as the last line.

    Args:
        peer: makes an object with gradient() -> seconds, density() -> path, sample(seed) -> (seconds, figures, draws)
            and compile_seconds; its construction builds the model.
    """
    job = read_job()
    figure = job.options.figure
    subject = peer(job)
    result: dict[str, Any] = {"figure": figure, "posterior": job.options.posterior}
    if figure == "gradient":
        result["gradient_us"] = 1e6 * subject.gradient()
    elif figure == "density":
        result["density"] = subject.density()
    elif figure == "cold":
        seconds, figures, draws = subject.sample(job.options.first_seed)
        result |= figures | {"sample_s": seconds, "to_draws_s": time.perf_counter() - START}
        summary(draws)
        result["inside_s"] = time.perf_counter() - START
    else:
        subject.sample(-1)  # the run that burns in
        result["runs"] = []
        for seed in job.seeds:
            seconds, figures, draws = subject.sample(seed)
            result["runs"].append({"seed": seed, "wall_s": seconds, **figures, "file": job.save(seed, draws)})
    result["compile_s"] = subject.compile_seconds
    print(json.dumps(result), flush=True)
