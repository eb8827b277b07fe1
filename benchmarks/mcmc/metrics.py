"""Which metric NUTS should adapt by default: effective draws for each gradient and second, and how often a run fails.

Usage: python benchmarks/mcmc/metrics.py [--subject NAME,...] [--metric NAME,...] [--seeds N] [--first-seed K]
                                         [--results FILE] [--table]

Subjects are the targets with known answers (known.py) and the posteriors of the benchmark. Each run is 4 chains of
1000 + 1000 draws, one thread, starting points and streams by seed. A run fails where R-hat exceeds 1.05 or a mean or
variance is more than 4.5 standard errors from the truth; its figures count as nothing, and failures are counted. Every
run is a line of the results file, so that runs may be done in parts; --table prints what the file holds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import posteriors
import torch
from known import TARGETS, Known

import pyroxene
from pyroxene.density import init_to_uniform
from pyroxene.diagnostics.draws import ess_bulk, ess_mean, rhat
from pyroxene.infer.mcmc.chains import run_chains
from pyroxene.infer.mcmc.options import SamplerOptions
from pyroxene.infer.mcmc.starting import starting_points
from pyroxene.infer.mcmc.target import Target, model_target

__all__: list[str] = []

VARIANTS: dict[str, dict[str, Any]] = {
    "auto": {"metric": "auto"},
    "diagonal": {"metric": "diagonal"},
    "fisher": {"metric": "fisher"},
    "low_rank": {"metric": "low_rank"},
    "dense": {"metric": "dense"},
    "diagonal_stan": {"metric": "diagonal", "warmup": "stan"},
    "auto_90": {"metric": "auto", "target_accept_prob": 0.9},
}
DEFAULT_VARIANTS = "diagonal,fisher,low_rank,dense,auto"
TOO_LONG = {"logistic_large"}
"""A thousand times the cost of the others: left out unless it is named."""

CHAINS, WARMUP, DRAWS = 4, 1000, 1000
LARGEST_RHAT, LARGEST_Z = 1.05, 4.5


def subject(name: str) -> Known:
    """Return a target with known answers, or a posterior of the benchmark, of which nothing is known."""
    if name in TARGETS:
        return TARGETS[name]()
    module = posteriors.load(name)
    data = {key: torch.as_tensor(value) for key, value in module.data().items()}
    model = module.pyroxene_model()
    return Known(lambda: model(**data), {})


def all_subjects() -> list[str]:
    """Return the names of all subjects."""
    return [*TARGETS, *(name for name in posteriors.NAMES if name not in TOO_LONG)]


def worst_z(known: Known, draws: dict[str, torch.Tensor]) -> float:
    """Return the largest difference from the truth, of means and variances, in standard errors of the run."""
    worst = 0.0
    for name, moments in known.truth.items():
        flat = draws[name].flatten(2) if draws[name].ndim > 2 else draws[name].unsqueeze(-1)
        mean, variance = (torch.tensor(np.reshape(moment, -1)) for moment in moments)
        for values, expected in ((flat - mean, torch.zeros_like(mean)), ((flat - mean) ** 2, variance)):
            error = values.flatten(0, 1).std(0) / ess_mean(values).sqrt()
            gap = (values.mean((0, 1)) - expected).abs() / error
            worst = max([worst, *gap[expected.isfinite()].nan_to_num(math.inf).tolist()])
    return worst


def measure(known: Known, target: Target, options: SamplerOptions, seed: int) -> dict[str, float]:
    """Run the chains once and return the figures of the run."""
    pyroxene.set_rng_seed(seed)
    starts = starting_points(target, CHAINS, init_to_uniform)
    begin = time.perf_counter()
    chains = run_chains(target.density, starts, options, num_warmup=WARMUP, num_draws=DRAWS, seed=seed, num_threads=1)
    seconds = time.perf_counter() - begin
    positions = torch.stack([chain.draws.positions for chain in chains])
    sites = {name: value.double() for name, value in target.constrain(positions).items()}
    quantities = known.quantities({name: value.numpy() for name, value in sites.items()})
    draws = {name: torch.as_tensor(value) for name, value in quantities.items()}
    after = sum(chain.draws.stats["num_steps"].sum().item() for chain in chains)
    return {
        "ess": min(ess_bulk(value).nan_to_num(0.0).min().item() for value in draws.values()),
        "rhat": max(rhat(value).nan_to_num(math.inf).max().item() for value in draws.values()),
        "z": worst_z(known, draws),
        "gradients": sum(chain.sampler.leapfrogs for chain in chains),
        "after_warmup": after,
        "divergences": sum(chain.num_divergences for chain in chains),
        "seconds": seconds,
    }


def measure_all(options: argparse.Namespace) -> None:
    """Append a line for each run to the results file; runs that it holds already are not made again."""
    done = {(line["subject"], line["metric"], line["seed"]) for line in read(options.results)}
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with open(options.results, "a") as out:
        for name in options.subject.split(","):
            runs = [(m, s) for s in seeds for m in options.metric.split(",") if (name, m, s) not in done]
            if not runs:
                continue
            known = subject(name)
            target = model_target(known.model, known.args, {})
            for metric, seed in runs:
                figures = measure(known, target, SamplerOptions(**VARIANTS[metric]), seed)
                line = {"subject": name, "metric": metric, "seed": seed, "dim": target.dim, **figures}
                out.write(json.dumps(line) + "\n")
                out.flush()


def read(path: str) -> Iterator[dict[str, Any]]:
    """Yield the runs of a results file."""
    if Path(path).exists():
        with open(path) as lines:
            yield from map(json.loads, lines)


def failed(line: dict[str, Any]) -> bool:
    """Say whether a run is of no use."""
    return not (line["rhat"] <= LARGEST_RHAT and line["z"] <= LARGEST_Z)


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean; nan of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def print_table(path: str, metrics: list[str]) -> None:
    """Print effective draws per thousand gradients, per second, and failures, by subject; then ratios to the first."""
    table: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in read(path):
        if line["metric"] in metrics:
            table[line["subject"]][line["metric"]].append(line)
    print(
        "effective draws (least parameter) per 1000 gradients, warm-up counted | per second in thousands | failed runs"
    )
    print(f"{'':<30}{'dim':>5}  " + "".join(f"{metric:>24}" for metric in metrics))
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    failures: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, row in table.items():
        cells, means = [], {}
        for metric in metrics:
            runs = row.get(metric, [])
            good = [run for run in runs if not failed(run) and run["ess"] > 0]
            per_gradient = geometric_mean([1e3 * run["ess"] / run["gradients"] for run in good])
            per_second = geometric_mean([1e-3 * run["ess"] / run["seconds"] for run in good])
            means[metric] = (per_gradient, per_second)
            failures[metric][0] += len(runs) - len(good)
            failures[metric][1] += len(runs)
            cells.append(f"{per_gradient:11.2f} {per_second:9.2f} {len(runs) - len(good)}/{len(runs)} ")
        dim = next(iter(row.values()))[0]["dim"]
        print(f"{name:<30}{dim:>5}  " + "".join(f"{cell:>24}" for cell in cells))
        if all(math.isfinite(value) for pair in means.values() for value in pair):
            for metric in metrics:
                ratios[metric].append(tuple(mine / his for mine, his in zip(means[metric], means[metrics[0]])))
    print(
        f"\nagainst {metrics[0]}, geometric means over the {len(ratios[metrics[0]])} subjects that no metric fails on:"
    )
    for metric in metrics:
        per_gradient, per_second = (geometric_mean(list(column)) for column in zip(*ratios[metric]))
        bad, runs = failures[metric]
        print(f"  {metric:<16} per gradient {per_gradient:.3f}  per second {per_second:.3f}  failed {bad} of {runs}")


def main() -> None:
    """Measure, or print what was measured."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--subject", default=",".join(all_subjects()))
    command.add_argument("--metric", default=DEFAULT_VARIANTS, help=f"of {', '.join(VARIANTS)}")
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--first-seed", type=int, default=7000)
    command.add_argument("--results", default="metrics.jsonl")
    command.add_argument("--table", action="store_true")
    options = command.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    if not options.table:
        measure_all(options)
    print_table(options.results, options.metric.split(","))


if __name__ == "__main__":
    main()
