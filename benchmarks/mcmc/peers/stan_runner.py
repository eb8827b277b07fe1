"""The runner for Stan through pystan 3: chains share one processor; figures with and without the output of draws."""

from __future__ import annotations

from common import Job, run, timed  # first: it sets the threads

# isort: split

import numpy as np
import stan


class Stan:
    """A posterior in Stan."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.data = {name: value.tolist() for name, value in job.data.items()} | job.posterior.sizes(job.data)
        self.data = {name: int(value) if isinstance(value, np.integer) else value for name, value in self.data.items()}
        self.compile_seconds, self.built = self.build(1)

    def build(self, seed: int):
        return timed(lambda: stan.build(self.job.posterior.STAN, data=self.data, random_seed=seed))

    def density(self) -> str:
        points = self.job.points()
        sizes = [(name, tuple(dims)) for name, dims in zip(self.built.param_names, self.built.dims)]
        values, gradients = [], {name: [] for name in points}
        for i in range(len(next(iter(points.values())))):
            flat = np.concatenate([points[name][i].ravel(order="F") for name, _ in sizes]).tolist()
            values.append(self.built.log_prob(flat))
            gradient, start = self.built.grad_log_prob(flat), 0
            for name, dims in sizes:
                size = int(np.prod(dims))
                gradients[name].append(np.reshape(gradient[start : start + size], dims, order="F"))
                start += size
        return self.job.save_density(values, gradients)

    def run_chains(self, seed: int, **options):
        _, built = self.build(seed)  # cached: a seed belongs to a build
        return timed(
            lambda: built.sample(
                num_chains=self.job.options.chains,
                num_samples=self.job.options.draws,
                num_warmup=self.job.options.warmup,
                init_radius=self.job.init_radius,
                refresh=0,
                **options,
            )
        )

    def gradient(self) -> float:
        """A leapfrog of a whole run whose output is thinned away: Stan's gradient is not open to a timed call."""
        draws = self.job.options.draws
        best = float("inf")
        for seed in range(1, 4):
            _, counted = self.run_chains(seed, save_warmup=True)
            seconds, _ = self.run_chains(seed, num_thin=draws)
            best = min(best, seconds / float(counted["n_leapfrog__"].sum()))
        return best

    def sample(self, seed: int):
        seconds, fit = self.run_chains(seed + 1000)
        options = self.job.options
        figures = {"divergences": int(fit["divergent__"].sum())}
        if options.figure == "cold":
            figures["leapfrogs_draws"] = int(fit["n_leapfrog__"].sum())
        else:  # the same run again, to count its warm-up without timing its output
            _, counted = self.run_chains(seed + 1000, save_warmup=True)
            figures["leapfrogs"] = int(counted["n_leapfrog__"].sum())
        draws = {}
        for name in fit.param_names:
            value = fit[name]  # dimensions of the parameter, then draws with chains interleaved
            dims = value.shape[:-1] if self.built.dims[fit.param_names.index(name)] else ()
            value = np.moveaxis(value.reshape(*dims, options.draws, options.chains), (-1, -2), (0, 1))
            draws[name] = value
        return seconds, figures, draws


if __name__ == "__main__":
    run(Stan)
