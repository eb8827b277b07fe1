"""The runner for Pyro: the pyroxene model with the import changed; chains run one after the other."""

from __future__ import annotations

from common import Job, repeat, run, timed  # first: it sets the threads

# isort: split

import sys

import numpy as np
import pyro
import pyro.distributions
import torch
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide.initialization import init_to_uniform
from pyro.infer.mcmc.util import initialize_model

sys.modules["pyroxene"] = pyro
sys.modules["pyroxene.distributions"] = pyro.distributions
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class Counted:
    """A model that counts its runs: one a gradient."""

    def __init__(self, model) -> None:
        self.model = model
        self.runs = 0

    def __call__(self, **data):
        self.runs += 1
        return self.model(**data)


class Pyro:
    """A posterior in Pyro."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = Counted(job.posterior.pyroxene_model())
        self.data = {name: torch.as_tensor(value) for name, value in job.data.items()}
        self.compile_seconds = 0.0

    def value_and_gradient(self, potential, point):
        leaves = {name: value.detach().requires_grad_(True) for name, value in point.items()}
        value = potential(leaves)
        return value, dict(zip(leaves, torch.autograd.grad(value, list(leaves.values()))))

    def density(self) -> str:
        _, potential, _, _ = initialize_model(self.model, model_kwargs=self.data)
        points = self.job.points()
        values, gradients = [], {name: [] for name in points}
        for i in range(len(next(iter(points.values())))):
            point = {name: torch.as_tensor(column[i]) for name, column in points.items()}
            value, gradient = self.value_and_gradient(potential, point)
            values.append(-value.item())
            for name in points:
                gradients[name].append(-gradient[name].numpy())
        return self.job.save_density(values, gradients)

    def gradient(self) -> float:
        start, potential, _, _ = initialize_model(self.model, model_kwargs=self.data)

        def several(count: int) -> None:
            for _ in range(count):
                self.value_and_gradient(potential, start)

        return repeat(several, self.job.options.seconds)

    def sample(self, seed: int):
        options = self.job.options
        if seed < 0:
            return 0.0, {}, {}  # nothing is compiled, so nothing burns in
        before, chains = self.model.runs, []
        divergences = 0

        def everything() -> None:
            nonlocal divergences
            for chain in range(options.chains):
                pyro.set_rng_seed(1000 * seed + chain)
                kernel = NUTS(self.model, init_strategy=lambda site=None: init_to_uniform(site, self.job.init_radius))
                mcmc = MCMC(kernel, num_samples=options.draws, warmup_steps=options.warmup, disable_progbar=True)
                mcmc.run(**self.data)
                chains.append(mcmc.get_samples())
                divergences += sum(len(found) for found in mcmc.diagnostics()["divergences"].values())

        seconds, _ = timed(everything)
        figures = {"leapfrogs": self.model.runs - before, "divergences": divergences}
        return seconds, figures, {name: np.stack([chain[name].numpy() for chain in chains]) for name in chains[0]}


if __name__ == "__main__":
    run(Pyro)
