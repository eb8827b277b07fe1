"""The subjects of svi.py: one process each, which prints the time of one SVI step in milliseconds, several times.

Usage: python _svi_subjects.py PACKAGE MODEL ROUNDS STEPS

PACKAGE: pyroxene (eager); pyroxene-step and pyroxene-run (native: `svi.step` in a Python loop, one `svi.run`);
pyroxene-native and pyroxene-inductor (one `svi.run` on that engine); pyroxene-auto (one long `svi.run` that chooses; it
prints the engine and why, then times); pyro; or torch (the VAE only).
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

RUGGED_ROWS = 170
BATCH, PIXELS, HIDDEN, LATENT = 256, 784, 400, 20
SMALL_BATCH, SMALL_PIXELS, SMALL_HIDDEN, SMALL_LATENT = 64, 20, 32, 2
CHOICE_SECONDS = 70  # of eager steps: enough for torch.compile to be tried


def eight_schools(pyro, dist, infer, autoguide, optim):
    """Eight schools, non-centred, AutoNormal, Adam."""
    effect = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    error = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = pyro.sample("tau", dist.HalfCauchy(5.0))
        with pyro.plate("school", 8):
            eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(mu + tau * eta, error), obs=y)

    svi = infer.SVI(model, autoguide.AutoNormal(model), optim.Adam({"lr": 0.01}), infer.Trace_ELBO())
    return svi, (effect,)


def geography(pyro, dist, infer, autoguide, optim):
    """The introduction's regression, on data of its size and kind, AutoNormal, Adam."""
    generator = torch.Generator().manual_seed(0)
    africa = (torch.arange(RUGGED_ROWS) < 49).float()
    rugged = torch.rand(RUGGED_ROWS, generator=generator) * 6
    noise = torch.randn(RUGGED_ROWS, generator=generator)
    log_gdp = 9.18 - 1.84 * africa - 0.18 * rugged + 0.35 * africa * rugged + 0.95 * noise

    def model(is_cont_africa, ruggedness, log_gdp=None):
        a = pyro.sample("a", dist.Normal(0.0, 10.0))
        b_a = pyro.sample("bA", dist.Normal(0.0, 1.0))
        b_r = pyro.sample("bR", dist.Normal(0.0, 1.0))
        b_ar = pyro.sample("bAR", dist.Normal(0.0, 1.0))
        sigma = pyro.sample("sigma", dist.Uniform(0.0, 10.0))
        mean = a + b_a * is_cont_africa + b_r * ruggedness + b_ar * is_cont_africa * ruggedness
        with pyro.plate("data", len(ruggedness)):
            return pyro.sample("obs", dist.Normal(mean, sigma), obs=log_gdp)

    svi = infer.SVI(model, autoguide.AutoNormal(model), optim.Adam({"lr": 0.02}), infer.Trace_ELBO())
    return svi, (africa, rugged, log_gdp)


def networks(pixels=PIXELS, hidden=HIDDEN, latent=LATENT) -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder, the same for all subjects."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Softplus(), nn.Linear(hidden, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Softplus(), nn.Linear(hidden, pixels))
    return encoder, decoder


def images(batch=BATCH, pixels=PIXELS) -> torch.Tensor:
    """Return one batch of random binary images."""
    return (torch.rand(batch, pixels, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def bayesian_network(pyro, dist, infer, autoguide, optim):
    """A network of 32 hidden units with random weights, 100 rows, AutoNormal, Adam."""
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(1))

    def model(x, y):
        first = pyro.sample("first", dist.Normal(torch.zeros(4, 32), 1.0).to_event(2))
        bias = pyro.sample("bias", dist.Normal(torch.zeros(32), 1.0).to_event(1))
        second = pyro.sample("second", dist.Normal(torch.zeros(32), 1.0).to_event(1))
        sigma = pyro.sample("sigma", dist.HalfNormal(1.0))
        with pyro.plate("rows", len(x)):
            pyro.sample("y", dist.Normal(torch.tanh(x @ first + bias) @ second, sigma), obs=y)

    svi = infer.SVI(model, autoguide.AutoNormal(model), optim.Adam({"lr": 0.01}), infer.Trace_ELBO())
    return svi, (x, torch.sin(x.sum(-1)))


def amortised(pyro, dist, infer, autoguide, optim):
    """The autoencoder with small networks: 20 pixels, 32 hidden units, batch 64."""
    small = networks(SMALL_PIXELS, SMALL_HIDDEN, SMALL_LATENT)
    return autoencoder(pyro, dist, infer, optim, *small, images(SMALL_BATCH, SMALL_PIXELS))


def vae(pyro, dist, infer, autoguide, optim):
    """A variational autoencoder with Bernoulli pixels, Adam."""
    return autoencoder(pyro, dist, infer, optim, *networks(), images())


def autoencoder(pyro, dist, infer, optim, encoder, decoder, batch):
    """Return the SVI of two networks, and its arguments."""
    latent = decoder[0].in_features

    def model(x):
        pyro.module("decoder", decoder)
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), latent), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x):
        pyro.module("encoder", encoder)
        with pyro.plate("images", len(x)):
            loc, log_scale = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    svi = infer.SVI(model, guide, optim.Adam({"lr": 1e-3}), infer.Trace_ELBO())
    return svi, (batch,)


def vae_in_plain_torch() -> Callable[[], float]:
    """The same step written without a probabilistic language: the same estimator of the same loss."""
    encoder, decoder = networks()
    batch = images()
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    half_log_two_pi = 0.9189385332046727

    def step() -> float:
        adam.zero_grad()
        loc, log_scale = encoder(batch).chunk(2, -1)
        noise = torch.randn_like(loc)
        z = loc + log_scale.exp() * noise
        log_prior = (-0.5 * z * z - half_log_two_pi).sum()
        log_guide = (-0.5 * noise * noise - log_scale - half_log_two_pi).sum()
        log_likelihood = -nn.functional.binary_cross_entropy_with_logits(decoder(z), batch, reduction="sum")
        loss = log_guide - log_prior - log_likelihood
        loss.backward()
        adam.step()
        return loss.item()

    return step


MODELS = {f.__name__: f for f in (eight_schools, geography, bayesian_network, amortised, vae)}


def time_runs(svi, arguments, rounds: int, steps: int, first: int) -> None:
    """Print the engine, and the time of a step in runs of many, after one that builds."""
    chosen = svi.run(first, *arguments, progress=False)
    print(f"# {chosen.engine}. {chosen.reason}")
    for _ in range(rounds):
        began = time.perf_counter()
        svi.run(steps, *arguments, progress=False)
        print(f"{(time.perf_counter() - began) / steps * 1000:.6f}", flush=True)


def enough_to_choose(svi, arguments) -> int:
    """Return how many steps are worth a trial of every engine."""
    for step in range(12):
        if step == 4:
            began = time.perf_counter()
        svi.step(*arguments)
    return min(100_000, int(8 * CHOICE_SECONDS / (time.perf_counter() - began)))


def main() -> None:
    """Time the subject named on the command line."""
    package, model, rounds, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    if package == "torch":
        step = vae_in_plain_torch()
    else:
        package, _, way = package.partition("-")
        pyro = importlib.import_module(package)
        names = ("distributions", "infer", "infer.autoguide", "optim")
        modules = [importlib.import_module(f"{package}.{name}") for name in names]
        pyro.set_rng_seed(0)
        if package == "pyroxene":
            pyro.settings.set(svi_engine={"": "eager", "step": "auto", "run": "auto"}.get(way, way))
        svi, arguments = MODELS[model](pyro, *modules)
        if way in ("run", "native", "inductor", "auto"):
            time_runs(svi, arguments, rounds, steps, enough_to_choose(svi, arguments) if way == "auto" else 1000)
            return

        def step() -> float:
            return svi.step(*arguments)

    for _ in range(max(steps // 4, 5)):
        step()
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(steps):
            step()
        print(f"{(time.perf_counter() - began) / steps * 1000:.4f}", flush=True)


if __name__ == "__main__":
    main()
