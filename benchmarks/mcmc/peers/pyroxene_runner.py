"""The runner for pyroxene: native engine; --method eager, or loop for the posterior's model with a Python loop."""

from __future__ import annotations

from common import Job, repeat, run, timed  # first: it sets the threads

# isort: split

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

import pyroxene
from pyroxene.density import init_to_uniform, log_density

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
LOOP = "repeat_density"


class Pyroxene:
    """A posterior in pyroxene."""

    def __init__(self, job: Job) -> None:
        self.job = job
        loop = job.options.method == "loop"
        self.model = job.posterior.pyroxene_loop() if loop else job.posterior.pyroxene_model()
        self.data = {name: torch.as_tensor(value) for name, value in job.data.items()}
        self.compile_seconds = None
        self.kernel = None

    def log_density(self):
        """Return the density on the engine that was asked for; the eager one where the figure is density."""
        density = log_density(self.model, **self.data)
        if self.job.options.method == "eager" or self.job.options.figure == "density":
            return density
        self.compile_seconds, compiled = timed(lambda: density.compiled("native"))
        return compiled

    def density(self) -> str:
        density = self.log_density()
        points = self.job.points()
        values, gradients = [], {name: [] for name in points}
        for i in range(len(next(iter(points.values())))):
            flat = [torch.as_tensor(points[slot.name][i]).reshape(-1) for slot in density.layout.slots]
            value, gradient = density.value_and_grad(torch.cat(flat))
            values.append(value.item())
            for slot in density.layout.slots:
                part = gradient[slot.start : slot.start + slot.size].reshape(points[slot.name][i].shape)
                gradients[slot.name].append(part.numpy())
        return self.job.save_density(values, gradients)

    def gradient(self) -> float:
        density = self.log_density()
        point = torch.full((density.dim,), 0.1)
        native = density.native_function() if hasattr(density, "native_function") else None
        if native is not None:
            return self.native_gradient(native)

        def several(count: int) -> None:
            for _ in range(count):
                density.value_and_grad(point)

        return repeat(several, self.job.options.seconds)

    def native_gradient(self, native) -> float:
        """In a loop written in C, as the samplers' is."""
        source = f"""
            typedef double density_type(const double *, double *, void *);
            double {LOOP}(density_type *density, double *z, double *gradient, void *context, long count) {{
                double total = 0.0;
                for (long k = 0; k < count; k++) {{ z[0] += 1e-9; total += density(z, gradient, context); }}
                return total;
            }}"""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "loop.c"
            path.write_text(source)
            library = path.with_suffix(".so")
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(path), "-o", str(library)], check=True)
            loop = getattr(ctypes.CDLL(str(library)), LOOP)
        loop.restype = ctypes.c_double
        z, gradient = torch.full((native.dim,), 0.1), torch.zeros(native.dim)
        context = native.new_context()
        pointers = [ctypes.c_void_p(place) for place in (native.address, z.data_ptr(), gradient.data_ptr())]
        last = context.pointer if isinstance(context.pointer, ctypes.c_void_p) else ctypes.c_void_p(context.pointer)
        return repeat(lambda count: loop(*pointers, last, ctypes.c_long(count)), self.job.options.seconds)

    def sample(self, seed: int):
        from pyroxene.infer import MCMC, NUTS

        options = self.job.options

        def everything():
            pyroxene.set_rng_seed(1000 + seed)
            if self.kernel is None:
                # another radius is given only where the posterior has its own: the default is the user's way
                radius = self.job.init_radius
                start = {} if radius == 2.0 else {"init_strategy": lambda site=None: init_to_uniform(site, radius)}
                self.kernel = NUTS(self.model, **start)
            mcmc = MCMC(
                self.kernel,
                num_samples=options.draws,
                warmup_steps=options.warmup,
                num_chains=options.chains,
                disable_progbar=True,
            )
            mcmc.run(**self.data)
            return mcmc

        seconds, mcmc = timed(everything)
        if self.compile_seconds is None:
            self.compile_seconds = seconds  # with one run in it; the driver takes the warm time off
        extra = mcmc.get_extra_fields()
        figures = {
            "leapfrogs": int(np.sum(np.asarray(extra["num_steps_total"]))),
            "divergences": int(np.sum(np.asarray(extra["diverging"]))),
        }
        draws = mcmc.get_samples(group_by_chain=True)
        return seconds, figures, {name: value.detach().numpy() for name, value in draws.items()}


if __name__ == "__main__":
    run(Pyroxene)
