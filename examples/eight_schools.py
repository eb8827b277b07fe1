"""Eight schools: what coaching did for test scores, from prior to posterior check, by NUTS and by SVI.

The data are the estimated effects, and their standard errors, of coaching programmes in eight schools (Rubin 1981,
Estimation in parallel randomized experiments, Journal of Educational Statistics 6(4); Gelman et al., Bayesian Data
Analysis, section 5.5). Are the programmes different at all? Each school alone says too little; a hierarchical model
lets them inform each other, by as much as the data warrant.

Run: python examples/eight_schools.py [--out DIR] [--seed N]
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from _figures import BLUE, GREY, INK, ORANGE, density, figure_folder, parser, plt, save

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyroxene.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyroxene.optim import ClippedAdam

SCHOOLS = "ABCDEFGH"
EFFECT = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])  # points on the test
STANDARD_ERROR = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
GUIDES = {"AutoNormal": AutoNormal, "AutoMultivariateNormal": AutoMultivariateNormal}


def model(standard_error: torch.Tensor, effect: torch.Tensor | None = None) -> torch.Tensor:
    """Effects of the schools' programmes: a common mean, a spread between schools, and each school's own."""
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(standard_error)):
        eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
        theta = pyro.deterministic("theta", mu + tau * eta, event_dim=0)
        return pyro.sample("y", dist.Normal(theta, standard_error), obs=effect)


def sample(num_samples: int, seed: int) -> MCMC:
    """Draw from the posterior by NUTS, four chains, warm-up as long as the sampling."""
    pyro.set_rng_seed(seed)
    mcmc = MCMC(NUTS(model), num_samples=num_samples, warmup_steps=num_samples, num_chains=4)
    mcmc.run(STANDARD_ERROR, EFFECT)
    return mcmc


def fit(guide_class: Any, steps: int, seed: int) -> tuple[Any, torch.Tensor]:
    """Fit a guide by stochastic variational inference; return it and the losses."""
    pyro.clear_param_store()
    pyro.set_rng_seed(seed)
    guide = guide_class(model)
    optimiser = ClippedAdam({"lr": 0.03, "lrd": 0.05 ** (1 / steps)})  # the rate ends at a twentieth
    svi = SVI(model, guide, optimiser, Trace_ELBO(num_particles=1))
    return guide, svi.run(steps, STANDARD_ERROR, EFFECT).losses


def posterior(num_samples: int, **source: Any) -> dict[str, torch.Tensor]:
    """Draw latent variables from `guide=`, or take `posterior_samples=`, and data that the model would see again."""
    draws = Predictive(model, num_samples=num_samples, parallel=True, **source)(STANDARD_ERROR)
    draws = {**source.get("posterior_samples", {}), **draws}
    return {name: value.squeeze(-1) if name in ("mu", "tau") else value for name, value in draws.items()}


def columns(draws: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the quantities of interest by the name they have in the table."""
    named = {"mu": draws["mu"], "tau": draws["tau"]}
    return named | {f"theta[{school}]": draws["theta"][:, i] for i, school in enumerate(SCHOOLS)}


def print_table(results: dict[str, dict[str, torch.Tensor]]) -> None:
    """Print mean, standard deviation and quantiles of each quantity, the methods side by side."""
    head = f"{'':>10}" + "".join(f" | {name:^33}" for name in results)
    print(head, f"{'':>10}" + f" | {'mean':>7} {'sd':>7} {'5%':>8} {'95%':>8}" * len(results), sep="\n")
    tables = [columns(draws) for draws in results.values()]
    for quantity in tables[0]:
        row = f"{quantity:>10}"
        for table in tables:
            x = table[quantity]
            low, high = x.quantile(torch.tensor([0.05, 0.95])).tolist()
            row += f" | {x.mean():7.2f} {x.std():7.2f} {low:8.2f} {high:8.2f}"
        print(row)


def figure_prior(folder: Path, num_samples: int) -> Path:
    """Draw what the model expects before it sees data."""
    draws = Predictive(model, num_samples=num_samples)(STANDARD_ERROR)["y"]
    figure, axis = plt.subplots(figsize=(7.2, 3.6))
    low, high = -75.0, 75.0
    for column in range(len(SCHOOLS)):
        inside = draws[:, column]
        quartiles = inside.quantile(torch.tensor([0.05, 0.25, 0.75, 0.95])).tolist()
        axis.plot([column, column], quartiles[::3], color=GREY, lw=2, solid_capstyle="round")
        axis.plot([column, column], quartiles[1:3], color=GREY, lw=7, solid_capstyle="butt")
    axis.plot(range(8), EFFECT, "o", color=ORANGE, ms=7, label="estimated effect", zorder=3)
    axis.plot([], [], color=GREY, lw=4, label="prior predictive: 50 % and 90 %")
    axis.set(
        xticks=range(8),
        xticklabels=list(SCHOOLS),
        ylim=(low, high),
        xlabel="school",
        ylabel="effect (points)",
        title="Before the data: the prior allows what was seen, and more",
    )
    axis.grid(axis="x", visible=False)
    axis.legend(loc="upper left", ncols=2)
    return save(figure, folder, "1_prior_predictive")


def figure_losses(folder: Path, losses: dict[str, torch.Tensor]) -> Path:
    """Draw the loss of each guide, smoothed over its noise."""
    figure, axis = plt.subplots(figsize=(7.2, 3.2))
    for (name, loss), colour in zip(losses.items(), (BLUE, ORANGE), strict=True):
        width = max(len(loss) // 40, 1)
        smooth = loss.unfold(0, width, max(width // 4, 1)).mean(1)
        where = torch.arange(len(smooth)) * max(width // 4, 1) + width // 2
        axis.plot(where, smooth, color=colour, label=f"{name}, ends at {loss[-len(loss) // 4 :].mean():.2f}")
    axis.set(xlabel="step", ylabel="loss (nats), smoothed", title="The fit has settled: negative evidence lower bound")
    axis.legend()
    return save(figure, folder, "2_loss")


def figure_methods(folder: Path, results: dict[str, dict[str, torch.Tensor]]) -> Path:
    """Draw three marginals by each method: where a guide is narrower than NUTS, it claims to know too much."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.4))
    ranges = {"mu": (-10.0, 20.0), "tau": (0.0, 20.0), "theta[A]": (-15.0, 35.0)}
    for axis, (quantity, (low, high)) in zip(axes, ranges.items(), strict=True):
        for (name, draws), colour in zip(results.items(), (INK, BLUE, ORANGE), strict=True):
            grid, height = density(columns(draws)[quantity].clamp(low - 10, high + 10))
            inside = (grid > low) & (grid < high)
            axis.plot(grid[inside], height[inside], color=colour, lw=2.4 if name == "NUTS" else 1.5, label=name)
        axis.set(title=quantity, xlabel="points", yticks=[], ylim=(0, None), xlim=(low, high))
        axis.spines["left"].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return save(figure, folder, "3_methods")


def figure_schools(folder: Path, draws: dict[str, torch.Tensor]) -> Path:
    """Draw the schools' own estimates beside what the model makes of them, and the spread between schools."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), width_ratios=(3, 2))
    theta = draws["theta"]
    for row, _ in enumerate(SCHOOLS):
        low, middle, high = theta[:, row].quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
        error = 1.645 * STANDARD_ERROR[row].item()
        left.plot([EFFECT[row] - error, EFFECT[row] + error], [row - 0.17] * 2, color=GREY, lw=1.6)
        left.plot(EFFECT[row], row - 0.17, "o", color=GREY, ms=5)
        left.plot([low, high], [row + 0.17] * 2, color=BLUE, lw=2.6, solid_capstyle="round")
        left.plot(middle, row + 0.17, "o", color=BLUE, ms=6)
    left.axvline(draws["mu"].mean(), color=INK, lw=0.8, ls=(0, (4, 3)))
    left.plot([], [], "o-", color=GREY, label="the school alone")
    left.plot([], [], "o-", color=BLUE, label="posterior, all schools together")
    left.set(
        yticks=range(8),
        yticklabels=list(SCHOOLS),
        xlabel="effect (points), 90 % intervals",
        xlim=(-35, 56),
        title="Shrinkage towards the common mean",
    )
    left.invert_yaxis()
    left.grid(axis="y", visible=False)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    grid, height = density(draws["tau"].clamp(max=40.0))
    inside = (grid > 0) & (grid < 30)
    right.fill_between(grid[inside], height[inside], color=BLUE, alpha=0.25, lw=0)
    right.plot(grid[inside], height[inside], color=BLUE)
    right.set(
        xlabel="tau: standard deviation between schools (points)",
        ylabel="posterior density",
        ylim=(0, None),
        xlim=(0, 30),
        title="How different are the schools?",
    )
    return save(figure, folder, "4_schools")


def figure_check(folder: Path, replicated: torch.Tensor) -> tuple[Path, dict[str, float]]:
    """Draw three statistics of replicated data beside those of the data; return their tail probabilities."""
    statistics = {
        "largest effect": lambda y: y.amax(-1),
        "mean effect": lambda y: y.mean(-1),
        "spread (sd)": lambda y: y.std(-1),
    }
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.1))
    tails = {}
    for axis, (name, statistic) in zip(axes, statistics.items(), strict=True):
        values, seen = statistic(replicated), statistic(EFFECT).item()
        tails[name] = (values >= seen).float().mean().item()
        grid, height = density(values)
        axis.fill_between(grid, height, color=BLUE, alpha=0.25, lw=0)
        axis.plot(grid, height, color=BLUE)
        axis.axvline(seen, color=ORANGE, lw=2)
        axis.set(title=name, yticks=[], ylim=(0, None), xlabel=f"points;  P(replicated ≥ observed) = {tails[name]:.2f}")
        axis.spines["left"].set_visible(False)
    figure.suptitle("Would the model see such data again?  blue: replicated, orange: observed", x=0.01, ha="left")
    return save(figure, folder, "5_posterior_predictive"), tails


def main() -> None:
    """Run the study and say where its figures are."""
    options = parser(__doc__, "eight_schools").parse_args()
    began = time.perf_counter()
    torch.set_num_threads(1)
    pyro.set_rng_seed(options.seed)
    folder = figure_folder(options.out)
    steps, num_samples = (100, 200) if options.quick else (4000, 4000)

    print("Eight schools: estimated effects of coaching and their standard errors (points)\n")
    print("  school  ", *(f"{school:>5}" for school in SCHOOLS))
    print("  effect  ", *(f"{value:5.0f}" for value in EFFECT.tolist()))
    print("  error   ", *(f"{value:5.0f}" for value in STANDARD_ERROR.tolist()), end="\n\n")
    figures = [figure_prior(folder, num_samples)]

    drawing = time.perf_counter()
    mcmc = sample(num_samples // 4, options.seed)
    seconds = time.perf_counter() - drawing
    print(f"\nNUTS, four chains of {num_samples // 4} draws and as many of warm-up, with compiling: {seconds:.2f} s")
    mcmc.summary()
    losses, results = {}, {"NUTS": posterior(num_samples, posterior_samples=mcmc.get_samples())}
    for name, guide_class in GUIDES.items():
        guide, losses[name] = fit(guide_class, steps, options.seed)
        results[name] = posterior(num_samples, guide=guide)
    print("\nPosterior (theta: the effect of each school's programme), and two guides beside NUTS\n")
    print_table(results)

    best = results["NUTS"]
    figures += [figure_losses(folder, losses), figure_methods(folder, results), figure_schools(folder, best)]
    path, tails = figure_check(folder, best["y"])
    figures.append(path)
    print("\nPosterior predictive check: probability that replicated data show at least what was observed")
    for name, tail in tails.items():
        print(f"  {name:<15} {tail:.2f}")
    chance = (best["theta"][:, 0] > best["theta"][:, 2]).float().mean()
    print(f"\nP(school A's programme is better than school C's) = {chance:.2f}")
    print(f"Done in {time.perf_counter() - began:.1f} s. Figures: {folder}")
    for figure in figures:
        print(f"  {figure.name}")


if __name__ == "__main__":
    main()
