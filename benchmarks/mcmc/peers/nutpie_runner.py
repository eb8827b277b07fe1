"""The runner for nutpie on a PyMC model: numba backend; --method low_rank switches its low-rank mass matrix on."""

from __future__ import annotations

from common import Job, repeat, run, timed  # first: it sets the threads

# isort: split

import ctypes

import numba
import numpy as np
import nutpie


class Nutpie:
    """A posterior in PyMC, sampled by nutpie."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = job.posterior.pymc_model(job.data)
        self.compile_seconds = None
        self.compiled = None

    def compile(self) -> None:
        if self.compiled is None:
            self.compile_seconds, self.compiled = timed(lambda: nutpie.compile_pymc_model(self.model, backend="numba"))

    def density(self) -> str:
        value_names = {rv.name: value.name for rv, value in self.model.rvs_to_values.items()}
        log_density, gradient = self.model.compile_logp(), self.model.compile_dlogp()
        points = self.job.points()
        values, gradients = [], {name: [] for name in points}
        for i in range(len(next(iter(points.values())))):
            point = {value_names[name]: column[i] for name, column in points.items()}
            values.append(float(log_density(point)))
            flat, start = gradient(point), 0
            for value in self.model.continuous_value_vars:
                name = next(rv for rv, found in value_names.items() if found == value.name)
                size = points[name][i].size
                gradients[name].append(flat[start : start + size].reshape(points[name][i].shape))
                start += size
        return self.job.save_density(values, gradients)

    def gradient(self) -> float:
        """The function that nutpie calls, in a compiled loop."""
        self.compile()
        pointer, compiled = ctypes.c_void_p, self.compiled
        address = compiled.compiled_logp_func.address
        call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_size_t, pointer, pointer, pointer, pointer)(address)
        z, gradient, value = np.full(compiled.n_dim, 0.1), np.zeros(compiled.n_dim), np.zeros(1)
        shared = np.asarray(compiled.user_data)

        @numba.njit
        def loop(count, dim, z, at_z, at_gradient, at_value, at_shared):
            total = 0.0
            for _ in range(count):
                z[0] += 1e-9
                total += call(dim, at_z, at_gradient, at_value, at_shared)
            return total

        places = [array.ctypes.data for array in (z, gradient, value, shared)]
        loop(1, compiled.n_dim, z, *places)
        if not np.isfinite(value[0]) or not gradient.any():
            raise RuntimeError("nutpie's density gave no value")
        return repeat(lambda count: loop(count, compiled.n_dim, z, *places), self.job.options.seconds)

    def sample(self, seed: int):
        self.compile()
        options = self.job.options
        start = {"init_mean": None}
        if self.job.init_radius != 2.0:
            start["init_mean"] = np.zeros(self.compiled.n_dim)
        seconds, trace = timed(
            lambda: nutpie.sample(
                self.compiled,
                draws=options.draws,
                tune=options.warmup,
                chains=options.chains,
                cores=None if options.figure == "cold" else 1,
                seed=seed + 1000,
                progress_bar=False,
                save_warmup=True,
                low_rank_modified_mass_matrix=options.method == "low_rank",
                **start,
            )
        )
        steps = int(trace.sample_stats["n_steps"].sum()) + int(trace.warmup_sample_stats["n_steps"].sum())
        figures = {"leapfrogs": steps, "divergences": int(trace.sample_stats["diverging"].sum())}
        names = [rv.name for rv in self.model.free_RVs]
        return seconds, figures, {name: trace.posterior[name].values for name in names}


if __name__ == "__main__":
    run(Nutpie)
