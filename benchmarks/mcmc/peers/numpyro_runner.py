"""The runner for NumPyro: double precision; --method vectorized (the default), sequential or parallel."""

from __future__ import annotations

import os

from common import Job, repeat, run, timed  # first: it sets the threads

# isort: split

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.infer import MCMC, NUTS, init_to_uniform
from numpyro.infer.util import initialize_model

numpyro.enable_x64()


class NumPyro:
    """A posterior in NumPyro."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = job.posterior.numpyro_model()
        self.data = {name: jnp.asarray(value) for name, value in job.data.items()}
        self.compile_seconds = None
        self.compiled = None

    def potential(self):
        found = initialize_model(jax.random.PRNGKey(0), self.model, model_kwargs=self.data)
        return found.potential_fn, found.param_info.z

    def density(self) -> str:
        potential, _ = self.potential()
        function = jax.jit(jax.value_and_grad(potential))
        points = self.job.points()
        values, gradients = [], {name: [] for name in points}
        for i in range(len(next(iter(points.values())))):
            value, gradient = function({name: jnp.asarray(column[i]) for name, column in points.items()})
            values.append(-float(value))
            for name in points:
                gradients[name].append(-np.asarray(gradient[name]))
        return self.job.save_density(values, gradients)

    def gradient(self) -> float:
        """Inside a compiled loop, without the cost of a call from Python."""
        potential, start = self.potential()
        function = jax.value_and_grad(potential)

        def step(_, carry):
            total, z = carry
            value, gradient = function(z)
            return total + value, jax.tree.map(lambda a, b: a + 1e-9 * b, z, gradient)

        loop = jax.jit(lambda count, z: jax.lax.fori_loop(0, count, step, (jnp.zeros(()), z)))
        self.compile_seconds, _ = timed(lambda: jax.block_until_ready(loop(1, start)))
        return repeat(lambda count: jax.block_until_ready(loop(count, start)), self.job.options.seconds)

    def make(self) -> MCMC:
        options = self.job.options
        kernel = NUTS(self.model, init_strategy=init_to_uniform(radius=self.job.init_radius))
        return MCMC(
            kernel,
            num_warmup=options.warmup,
            num_samples=options.draws,
            num_chains=options.chains,
            chain_method=options.method or "vectorized",
            progress_bar=False,
        )

    def sample(self, seed: int):
        if self.job.options.figure == "cold":
            return self.cold(seed)
        key = jax.random.PRNGKey(seed + 1000)
        if self.compiled is None:
            self.compile_seconds, self.compiled = timed(lambda: jax.jit(self.whole).lower(key).compile())
        seconds, (draws, warmup, fields) = timed(lambda: jax.block_until_ready(self.compiled(key)))
        figures = {
            "leapfrogs": int(np.sum(warmup)) + int(np.sum(fields["num_steps"])),
            "divergences": int(np.sum(fields["diverging"])),
        }
        return seconds, figures, {name: np.asarray(value) for name, value in draws.items()}

    def cold(self, seed: int):
        """As its documentation has it."""
        mcmc = self.make()

        def everything() -> None:
            mcmc.run(jax.random.PRNGKey(seed), extra_fields=("num_steps", "diverging"), **self.data)
            jax.block_until_ready(mcmc.get_samples())

        seconds, _ = timed(everything)
        fields = mcmc.get_extra_fields()
        figures = {"leapfrogs_draws": int(fields["num_steps"].sum()), "divergences": int(fields["diverging"].sum())}
        draws = mcmc.get_samples(group_by_chain=True)
        return seconds, figures, {name: np.asarray(value) for name, value in draws.items()}

    def whole(self, key):
        """Warm-up and draws as one function to compile: MCMC.run by itself compiles anew at each call, for seconds."""
        mcmc = self.make()
        mcmc.warmup(key, extra_fields=("num_steps",), collect_warmup=True, **self.data)
        warmup = mcmc.get_extra_fields()["num_steps"]
        mcmc.run(mcmc.post_warmup_state.rng_key, extra_fields=("num_steps", "diverging"), **self.data)
        return mcmc.get_samples(group_by_chain=True), warmup, mcmc.get_extra_fields()


if __name__ == "__main__":
    run(NumPyro)
