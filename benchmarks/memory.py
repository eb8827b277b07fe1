"""Resident memory while models are built and sampled, many times in one process.

Usage: python benchmarks/memory.py [--builds 1000] [--runs 100]

Every build is of another program, compiled anew (in a cache of its own, which is removed), and dropped. Every run draws
4 chains of 200 + 200.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile

import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import log_density
from pyroxene.infer import MCMC, NUTS


def resident() -> float:
    """Return the resident memory of this process in MiB (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def build(number: int) -> None:
    def model() -> None:
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        mean = x
        for digit in f"{number:010b}":  # programs that differ in numbers alone would share one library
            mean = mean.sin() if digit == "1" else mean.tanh()
        pyroxene.sample("y", dist.Normal(mean, 1.0), obs=torch.tensor(0.5))

    compiled = log_density(model).compiled("native")
    compiled.value_and_grad(torch.zeros(1, dtype=torch.float64))


def run(number: int) -> None:
    def model() -> None:
        mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        with pyroxene.plate("rows", 20):
            pyroxene.sample("y", dist.Normal(mu, 1.0), obs=torch.arange(20.0))

    pyroxene.set_rng_seed(number)
    mcmc = MCMC(NUTS(model), 200, 200, num_chains=4, disable_progbar=True)
    mcmc.run()
    mcmc.get_samples()


def watch(what: str, work, times: int) -> None:
    marks = []
    for number in range(times):
        work(number)
        if number % max(times // 5, 1) == 0 or number == times - 1:
            gc.collect()
            marks.append(f"{number + 1}: {resident():.1f}")
    print(f"{what}, MiB after so many: {', '.join(marks)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--builds", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYROXENE_CACHE"] = folder + "/cache"
        watch("builds", build, options.builds)
        watch("MCMC runs", run, options.runs)


if __name__ == "__main__":
    main()
