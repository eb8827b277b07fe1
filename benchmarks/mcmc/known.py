"""Posteriors whose means and variances are known exactly: what defaults of the sampler are chosen on.

Usage: python benchmarks/mcmc/known.py [--target NAME,...] [--seeds N] [--list]

Each target is a model with its arguments, and the mean and variance of each site (or of `quantities` of its draws),
known by construction, by conjugacy, or by quadrature over one parameter. `hard` marks those that a plain sampler is
expected to miss.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import pyroxene
import pyroxene.distributions as dist

__all__ = ["TARGETS", "Known"]

Moments = dict[str, tuple[Any, Any]]  # by site: mean, variance (nan where the estimator's own variance is infinite)


@dataclass(frozen=True)
class Known:
    """A model and what is true of its posterior."""

    model: Callable[..., Any]
    truth: Moments
    args: tuple[Any, ...] = ()
    quantities: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = field(default=lambda draws: draws)
    hard: bool = False


TARGETS: dict[str, Callable[[], Known]] = {}


def target(make: Callable[[], Known]) -> Callable[[], Known]:
    """Enter a maker in the table under its name."""
    TARGETS[make.__name__] = make
    return make


def tensor(x: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(x, dtype=float))


def one_site(distribution: Any, mean: Any, variance: Any, **more: Any) -> Known:
    """A single site x of a distribution."""
    return Known(lambda: pyroxene.sample("x", distribution), {"x": (mean, variance)}, **more)


def normal(scale: np.ndarray) -> Known:
    return one_site(dist.Normal(tensor(0.0), tensor(scale)).to_event(1), np.zeros(len(scale)), scale**2)


def correlated(covariance: np.ndarray) -> Known:
    zero = np.zeros(len(covariance))
    return one_site(dist.MultivariateNormal(tensor(zero), tensor(covariance)), zero, np.diag(covariance))


# Gaussians


@target
def gaussian_iid_100() -> Known:
    return normal(np.ones(100))


@target
def gaussian_badly_scaled() -> Known:
    return normal(np.logspace(-3, 3, 50))


@target
def gaussian_ar95() -> Known:
    index = np.arange(50)
    return correlated(0.95 ** np.abs(index[:, None] - index))


@target
def gaussian_ill_conditioned() -> Known:
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))
    return correlated(rotation @ np.diag(np.logspace(-2, 2, 30)) @ rotation.T)


@target
def gaussian_one_long_axis() -> Known:
    direction = np.ones(50) / math.sqrt(50)
    return correlated(np.eye(50) + 400.0 * np.outer(direction, direction))


@target
def gaussian_pair_999() -> Known:
    return correlated(np.array([[1.0, 0.999], [0.999, 1.0]]))


# Funnels, curves and tails


@target
def funnel_noncentred() -> Known:
    def model() -> None:
        pyroxene.sample("v", dist.Normal(0.0, 3.0))
        pyroxene.sample("raw", dist.Normal(0.0, 1.0).expand([9]).to_event(1))

    def quantities(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return draws | {"scaled": np.exp(draws["v"] / 12.0)[..., None] * draws["raw"]}

    scaled = np.full(9, math.exp(9.0 / 72.0))  # E exp(v / 6), v of variance 9
    truth = {"v": (0.0, 9.0), "raw": (np.zeros(9), np.ones(9)), "scaled": (np.zeros(9), scaled)}
    return Known(model, truth, quantities=quantities)


def funnel(scale: float, hard: bool) -> Known:
    """Neal's funnel, centred: v ~ Normal(0, scale), x ~ Normal(0, exp(v / 2))."""

    def model() -> None:
        v = pyroxene.sample("v", dist.Normal(0.0, scale))
        pyroxene.sample("x", dist.Normal(0.0, torch.exp(v / 2.0)).expand([9]).to_event(1))

    return Known(model, {"v": (0.0, scale**2), "x": (np.zeros(9), np.full(9, math.exp(scale**2 / 2.0)))}, hard=hard)


@target
def funnel_mild() -> Known:
    return funnel(1.0, False)


@target
def funnel_neal() -> Known:
    return funnel(3.0, True)


@target
def student_t_5() -> Known:
    return one_site(dist.StudentT(5.0).expand([10]).to_event(1), np.zeros(10), np.full(10, np.nan))


@target
def student_t_10() -> Known:
    return one_site(dist.StudentT(10.0).expand([10]).to_event(1), np.zeros(10), np.full(10, 10.0 / 8.0))


@target
def laplace_scales() -> Known:
    scale = np.logspace(-1, 1, 10)
    return one_site(dist.Laplace(tensor(0.0), tensor(scale)).to_event(1), np.zeros(10), 2.0 * scale**2)


@target
def banana() -> Known:
    def model() -> None:
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
        pyroxene.sample("y", dist.Normal(x**2, 0.3).to_event(1))

    return Known(model, {"x": (np.zeros(5), np.ones(5)), "y": (np.ones(5), np.full(5, 2.0 + 0.09))})


# Supports


@target
def exponential_scales() -> Known:
    rate = np.logspace(-2, 2, 9)
    return one_site(dist.Exponential(tensor(rate)).to_event(1), 1.0 / rate, 1.0 / rate**2)


@target
def lognormal() -> Known:
    variance = (math.exp(0.25) - 1.0) * math.exp(0.25)
    return one_site(
        dist.LogNormal(0.0, 0.5).expand([10]).to_event(1), np.full(10, math.exp(0.125)), np.full(10, variance)
    )


@target
def inverse_gamma() -> Known:
    return one_site(dist.InverseGamma(10.0, 9.0).expand([5]).to_event(1), np.ones(5), np.full(5, 1.0 / 8.0))


@target
def beta_at_the_edges() -> Known:
    return one_site(dist.Beta(0.5, 0.5).expand([5]).to_event(1), np.full(5, 0.5), np.full(5, 0.125))


@target
def dirichlet_sparse() -> Known:
    share, total = np.full(10, 0.1), 5.0
    return one_site(dist.Dirichlet(tensor(np.full(10, 0.5))), share, share * (1.0 - share) / (total + 1.0))


@target
def lkj() -> Known:
    """Off-diagonal correlations under LKJ(eta) in d dimensions: 2 Beta(b, b) - 1 with b = eta + (d - 2) / 2."""
    size, eta = 5, 2.0
    above = np.triu_indices(size, 1)

    def quantities(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        correlation = draws["x"] @ np.swapaxes(draws["x"], -1, -2)
        return {"correlation": correlation[..., above[0], above[1]]}

    count = len(above[0])
    variance = 1.0 / (2.0 * (eta + (size - 2) / 2.0) + 1.0)
    truth = {"correlation": (np.zeros(count), np.full(count, variance))}
    return Known(lambda: pyroxene.sample("x", dist.LKJCholesky(size, eta)), truth, quantities=quantities)


# Conjugate posteriors


@target
def regression_known_noise() -> Known:
    random = np.random.default_rng(2)
    design = random.normal(size=(200, 10)) @ (np.eye(10) + 0.8 * np.ones((10, 10)))
    y = design @ random.normal(size=10) + 2.0 * random.normal(size=200)

    def model(design: torch.Tensor, y: torch.Tensor) -> None:
        beta = pyroxene.sample("beta", dist.Normal(0.0, 3.0).expand([10]).to_event(1))
        with pyroxene.plate("rows", len(y)):
            pyroxene.sample("y", dist.Normal(design @ beta, 2.0), obs=y)

    covariance = np.linalg.inv(design.T @ design / 4.0 + np.eye(10) / 9.0)
    return Known(model, {"beta": (covariance @ design.T @ y / 4.0, np.diag(covariance))}, (tensor(design), tensor(y)))


@target
def regression_unknown_noise() -> Known:
    """sigma^2 ~ InverseGamma(3, 2), beta ~ Normal(0, 2 sigma): normal-inverse-gamma."""
    random = np.random.default_rng(3)
    design, rows, columns = random.normal(size=(60, 8)), 60, 8
    y = design @ random.normal(size=columns) + 1.5 * random.normal(size=rows)

    def model(design: torch.Tensor, y: torch.Tensor) -> None:
        variance = pyroxene.sample("variance", dist.InverseGamma(3.0, 2.0))
        beta = pyroxene.sample("beta", dist.Normal(0.0, 2.0 * variance.sqrt()).expand([columns]).to_event(1))
        with pyroxene.plate("rows", len(y)):
            pyroxene.sample("y", dist.Normal(design @ beta, variance.sqrt()), obs=y)

    precision = design.T @ design + np.eye(columns) / 4.0
    mean = np.linalg.solve(precision, design.T @ y)
    shape, rate = 3.0 + rows / 2.0, 2.0 + 0.5 * (y @ y - mean @ precision @ mean)
    scale = rate / (shape - 1.0)
    truth = {
        "variance": (scale, scale**2 / (shape - 2.0)),
        "beta": (mean, scale * np.diag(np.linalg.inv(precision))),
    }
    return Known(model, truth, (tensor(design), tensor(y)))


@target
def gamma_poisson() -> Known:
    counts = np.array([0.0, 1.0, 3.0, 10.0, 50.0, 200.0, 1000.0])

    def model(counts: torch.Tensor) -> None:
        with pyroxene.plate("groups", len(counts)):
            rate = pyroxene.sample("rate", dist.Gamma(2.0, 0.5))
            pyroxene.sample("counts", dist.Poisson(rate), obs=counts)

    shape = 2.0 + counts
    return Known(model, {"rate": (shape / 1.5, shape / 1.5**2)}, (tensor(counts),))


@target
def beta_binomial() -> Known:
    trials = np.array([5.0, 10.0, 50.0, 200.0, 1000.0, 20.0])
    successes = np.array([0.0, 10.0, 3.0, 150.0, 5.0, 11.0])

    def model(trials: torch.Tensor, successes: torch.Tensor) -> None:
        with pyroxene.plate("groups", len(trials)):
            share = pyroxene.sample("share", dist.Beta(2.0, 3.0))
            pyroxene.sample("successes", dist.Binomial(trials, share), obs=successes)

    a, b = 2.0 + successes, 3.0 + trials - successes
    truth = {"share": (a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1.0)))}
    return Known(model, truth, (tensor(trials), tensor(successes)))


@target
def dirichlet_multinomial() -> Known:
    counts = np.array([0.0, 1.0, 2.0, 5.0, 20.0, 80.0, 300.0, 0.0])

    def model(counts: torch.Tensor) -> None:
        shares = pyroxene.sample("shares", dist.Dirichlet(torch.ones(len(counts), dtype=counts.dtype)))
        pyroxene.factor("counts", (counts * shares.log()).sum())

    posterior = counts + 1.0
    total = posterior.sum()
    share = posterior / total
    return Known(model, {"shares": (share, share * (1.0 - share) / (total + 1.0))}, (tensor(counts),))


@target
def local_level() -> Known:
    """A random walk of 100 steps seen through noise: posterior Gaussian, correlated along time."""
    random = np.random.default_rng(4)
    steps = 100
    y = np.cumsum(0.3 * random.normal(size=steps)) + random.normal(size=steps)

    def model(y: torch.Tensor) -> None:
        increments = pyroxene.sample("increments", dist.Normal(0.0, 0.3).expand([steps]).to_event(1))
        with pyroxene.plate("time", steps):
            pyroxene.sample("y", dist.Normal(increments.cumsum(0), 1.0), obs=y)

    summing = np.tril(np.ones((steps, steps)))
    covariance = np.linalg.inv(np.eye(steps) / 0.09 + summing.T @ summing)
    return Known(model, {"increments": (covariance @ summing.T @ y, np.diag(covariance))}, (tensor(y),))


@target
def gaussian_process_latent() -> Known:
    """A latent function at 40 points under a squared-exponential kernel, noise known, not whitened."""
    random = np.random.default_rng(5)
    x = np.linspace(0.0, 4.0, 40)
    kernel = np.exp(-0.5 * (x[:, None] - x) ** 2 / 0.25) + 1e-4 * np.eye(40)
    y = np.sin(3.0 * x) + 0.5 * random.normal(size=40)

    def model(kernel: torch.Tensor, y: torch.Tensor) -> None:
        f = pyroxene.sample("f", dist.MultivariateNormal(torch.zeros_like(y), kernel))
        with pyroxene.plate("points", len(y)):
            pyroxene.sample("y", dist.Normal(f, 0.5), obs=y)

    gain = kernel @ np.linalg.inv(kernel + 0.25 * np.eye(40))
    return Known(model, {"f": (gain @ y, np.diag(kernel - gain @ kernel))}, (tensor(kernel), tensor(y)))


# Mixtures


@target
def mixture_of_two() -> Known:
    parts = dist.Normal(tensor([-1.5, 1.5]), tensor([1.0, 1.0]))
    mixture = dist.MixtureSameFamily(dist.Categorical(tensor([0.4, 0.6])), parts)
    return one_site(mixture.expand([5]).to_event(1), np.full(5, 0.3), np.full(5, 1.0 + 2.25 - 0.09))


@target
def mixture_of_scales() -> Known:
    parts = dist.Normal(tensor([0.0, 0.0]), tensor([1.0, 4.0]))
    mixture = dist.MixtureSameFamily(dist.Categorical(tensor([0.7, 0.3])), parts)
    return one_site(mixture.expand([10]).to_event(1), np.zeros(10), np.full(10, 0.7 + 0.3 * 16.0))


# Hierarchies: mu ~ Normal(0, 5), theta_j ~ Normal(mu, tau), y_j ~ Normal(theta_j, sigma_j)


def hierarchy(groups: int, sigma: float, tau: float | None, centred: bool, seed: int, hard: bool = False) -> Known:
    """tau known, or HalfNormal(5) and integrated by quadrature: given tau everything is Gaussian."""
    random = np.random.default_rng(seed)
    noise = sigma * np.exp(0.3 * random.normal(size=groups))
    y = random.normal(2.0, np.sqrt(4.0 + noise**2))

    def model(y: torch.Tensor, noise: torch.Tensor) -> None:
        mu = pyroxene.sample("mu", dist.Normal(0.0, 5.0))
        spread = pyroxene.sample("tau", dist.HalfNormal(5.0)) if tau is None else tau
        with pyroxene.plate("groups", groups):
            if centred:
                theta = pyroxene.sample("theta", dist.Normal(mu, spread))
            else:
                theta = mu + spread * pyroxene.sample("raw", dist.Normal(0.0, 1.0))
            pyroxene.sample("y", dist.Normal(theta, noise), obs=y)

    def quantities(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if centred:
            return draws
        spread = draws["tau"] if tau is None else np.full_like(draws["mu"], tau)
        theta = draws["mu"][..., None] + spread[..., None] * draws["raw"]
        return {key: value for key, value in draws.items() if key != "raw"} | {"theta": theta}

    return Known(model, hierarchy_truth(y, noise, tau), (tensor(y), tensor(noise)), quantities, hard)


def hierarchy_truth(y: np.ndarray, noise: np.ndarray, tau: float | None) -> Moments:
    """Return the moments of mu, theta (and tau), integrating tau on a fine grid of log tau."""
    grid = np.array([tau]) if tau is not None else np.exp(np.linspace(-14.0, 5.0, 4001))
    total = grid[:, None] ** 2 + noise**2  # variance of y_j given mu and tau
    precision = (1.0 / total).sum(1) + 1.0 / 25.0
    center = (y / total).sum(1) / precision
    log_weight = -0.5 * np.log(total).sum(1) - 0.5 * (y**2 / total).sum(1)
    log_weight += 0.5 * precision * center**2 - 0.5 * np.log(precision)
    if tau is None:
        log_weight += np.log(grid) - 0.5 * (grid / 5.0) ** 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    pull = grid[:, None] ** 2 / total  # theta_j = pull y_j + (1 - pull) mu + its own spread
    theta = pull * y + (1.0 - pull) * center[:, None]
    theta_variance = pull * noise**2 + (1.0 - pull) ** 2 / precision[:, None]

    def moments(mean: np.ndarray, variance: Any) -> tuple[Any, Any]:
        middle = weight @ mean
        return middle, weight @ (variance + mean**2) - middle**2

    truth = {"mu": moments(center, 1.0 / precision), "theta": moments(theta, theta_variance)}
    if tau is None:
        truth["tau"] = moments(grid, np.zeros_like(grid))
    return truth


@target
def hierarchy_known_8_centred() -> Known:
    return hierarchy(8, 1.0, 2.0, True, 6)


@target
def hierarchy_known_500_centred() -> Known:
    return hierarchy(500, 1.0, 2.0, True, 7)


@target
def hierarchy_8_noncentred() -> Known:
    return hierarchy(8, 4.0, None, False, 8)


@target
def hierarchy_8_centred() -> Known:
    return hierarchy(8, 4.0, None, True, 8, hard=True)


@target
def hierarchy_8_informed_centred() -> Known:
    return hierarchy(8, 0.3, None, True, 9)


@target
def hierarchy_200_centred() -> Known:
    return hierarchy(200, 1.0, None, True, 10)


@target
def hierarchy_200_noncentred() -> Known:
    return hierarchy(200, 3.0, None, False, 11)


def worst_z(truth: Moments, draws: dict[str, np.ndarray]) -> float:
    """Return the largest |difference| from the truth, of means and variances, in standard errors of the run."""
    from measures import effective_draws_plain

    worst = 0.0
    for name, (mean, variance) in truth.items():
        flat = draws[name].reshape(*draws[name].shape[:2], -1)
        means, variances = np.reshape(mean, -1), np.reshape(variance, -1)
        for k in range(flat.shape[-1]):
            centred = flat[..., k] - means[k]
            for values, expected in ((centred, 0.0), (centred**2, variances[k])):
                if not np.isnan(expected):
                    half = values.shape[1] // 2
                    split = np.concatenate([values[:, :half], values[:, -half:]])
                    error = values.std() / math.sqrt(effective_draws_plain(split))
                    worst = max(worst, abs(values.mean() - expected) / error)
    return float(worst)


def main() -> None:
    """Run pyroxene's NUTS on targets and print what it costs and how far it is from the truth."""
    from measures import worst

    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--target", default=",".join(TARGETS))
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--list", action="store_true", help="name the targets and stop")
    options = command.parse_args()
    if options.list:
        print("\n".join(f"{name}{'  (hard)' if make().hard else ''}" for name, make in TARGETS.items()))
        return
    from pyroxene.infer import MCMC, NUTS

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    for name in options.target.split(","):
        known = TARGETS[name]()
        for seed in range(options.seeds):
            pyroxene.set_rng_seed(seed)
            mcmc = MCMC(NUTS(known.model), num_samples=1000, warmup_steps=1000, num_chains=4, disable_progbar=True)
            begin = time.perf_counter()
            mcmc.run(*known.args)
            wall = time.perf_counter() - begin
            draws = {key: value.numpy() for key, value in mcmc.get_samples(group_by_chain=True).items()}
            quantities = known.quantities(draws)
            least, rhat, where = worst(quantities)
            leapfrogs = int(np.sum(np.asarray(mcmc.get_extra_fields()["num_steps_total"])))
            z = worst_z(known.truth, quantities)
            print(
                f"{name:<30} seed {seed}  z {z:5.2f}  R-hat {rhat:.3f}  ESS {least:7.0f} at {where:<14}"
                f"ESS/gradient {least / leapfrogs:.4f}  {wall:.2f} s{'  (hard)' if known.hard else ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
