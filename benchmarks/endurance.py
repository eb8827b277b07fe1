"""Take 100 000 SVI steps and see that neither memory nor the time of a step grows.

Usage: python benchmarks/endurance.py [--steps N]

Prints resident memory and the time of a step for each tenth of the run, and exits with 1 where the last tenth is more
than 5 % slower than the second, by medians, or memory grew by more than 8 MiB after the first tenth.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.infer.autoguide import AutoNormal
from pyroxene.optim import Adam


def resident() -> float:
    """Return this process's resident memory in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def main() -> None:
    """Run, print, judge."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--steps", type=int, default=100_000)
    options = command.parse_args()
    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    effect = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])

    def model(y: torch.Tensor) -> None:
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = pyro.sample("tau", dist.HalfCauchy(5.0))
        with pyro.plate("school", 64, subsample_size=8):
            eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(mu + tau * eta, 10.0), obs=y)

    svi = SVI(model, AutoNormal(model), Adam({"lr": 0.001}), Trace_ELBO())
    tenth = options.steps // 10
    times, memory = [], []
    for part in range(10):
        durations = []
        for _ in range(tenth):
            began = time.perf_counter()
            svi.step(effect)
            durations.append(time.perf_counter() - began)
        times.append(statistics.median(durations) * 1000)
        memory.append(resident())
        print(f"steps to {tenth * (part + 1):>7}: {times[-1]:.3f} ms a step, {memory[-1]:.1f} MiB", flush=True)
    slower = times[-1] / times[1] - 1
    grown = memory[-1] - memory[0]
    print(f"time of a step: {slower:+.1%}; memory: {grown:+.1f} MiB")
    sys.exit(slower > 0.05 or grown > 8)


if __name__ == "__main__":
    main()
