"""One value and gradient of the native engine beside C written by hand, in one run, alternating.

Usage: python benchmarks/gradient.py [--by-hand ../shared/bench/by_hand.c] [--rounds 7]

The hand-written file exports `repeat_eight_schools` and `repeat_logistic`, as the folder of reference data beside the
clone has it. Both sides are timed inside C, on the same data, one thread.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import log_density

FLAGS = "-O3 -march=native -ffast-math -shared -fPIC".split()
Y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12], dtype=torch.float64)
SIGMA = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18], dtype=torch.float64)


def eight_schools(y: torch.Tensor, sigma: torch.Tensor) -> None:
    mu = pyroxene.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyroxene.sample("tau", dist.HalfCauchy(5.0))
    with pyroxene.plate("schools", len(y)):
        raw = pyroxene.sample("raw", dist.Normal(0.0, 1.0))
        pyroxene.sample("y", dist.Normal(mu + tau * raw, sigma), obs=y)


def logistic(design: torch.Tensor, outcome: torch.Tensor) -> None:
    weights = pyroxene.sample("weights", dist.Normal(torch.zeros(design.shape[1]), 1.0).to_event(1))
    with pyroxene.plate("rows", len(design)):
        pyroxene.sample("outcome", dist.Bernoulli(logits=design @ weights), obs=outcome)


def pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def seconds(call: Callable[[int], None], repeats: int) -> float:
    start = time.perf_counter()
    call(repeats)
    return (time.perf_counter() - start) / repeats


def compare(name: str, model: Callable[..., None], args: tuple, by_hand: Callable[..., None], rounds: int) -> None:
    """Print medians over rounds of both sides, and of their ratio within a round."""
    density = log_density(model, *args).compiled("native")
    native = density.native_function()
    assert native is not None
    z = torch.linspace(-0.5, 0.5, density.dim, dtype=torch.float64)
    moving, gradient = z.clone(), torch.zeros_like(z)
    repeats = max(3, int(0.05 / native.seconds_per_call(z)))
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(seconds(lambda n: by_hand(moving, gradient, n), repeats))
        ours.append(native.seconds_per_call(z))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    one, other = (1e6 * statistics.median(times) for times in (ours, theirs))
    print(f"{name:24} native {one:10.4f} us   by hand {other:10.4f} us   ratio {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).resolve().parents[2] / "shared" / "bench" / "by_hand.c"
    parser.add_argument("--by-hand", type=Path, default=beside)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not options.by_hand.exists():
        raise SystemExit(f"{options.by_hand} is not there: give the hand-written file by --by-hand")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "by_hand.so"
        subprocess.run(["cc", *FLAGS, str(options.by_hand), "-o", str(target), "-lm"], check=True)
        library = ctypes.CDLL(str(target))
    weight, constant = 1 / SIGMA, ctypes.c_double(-SIGMA.log().sum().item())

    def schools_by_hand(z: torch.Tensor, gradient: torch.Tensor, n: int) -> None:
        library.repeat_eight_schools(*map(pointer, (z, gradient, Y, weight)), constant, ctypes.c_size_t(n))

    compare("eight schools", eight_schools, (Y, SIGMA), schools_by_hand, options.rounds)
    for rows, columns in ((1000, 20), (100_000, 50)):
        torch.manual_seed(0)
        design = torch.randn(rows, columns)
        outcome = torch.bernoulli(torch.sigmoid(design @ torch.randn(columns)))
        sizes = (ctypes.c_size_t(rows), ctypes.c_size_t(columns))

        def logistic_by_hand(
            z: torch.Tensor, gradient: torch.Tensor, n: int, given=(design, outcome), sizes=sizes
        ) -> None:
            library.repeat_logistic(*map(pointer, (z, gradient, *given)), *sizes, ctypes.c_size_t(n))

        compare(f"logistic {rows} x {columns}", logistic, (design, outcome), logistic_by_hand, options.rounds)


if __name__ == "__main__":
    main()
