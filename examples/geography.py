"""Terrain ruggedness and national income: from maximum likelihood to a posterior that can be trusted.

Rugged terrain goes with lower income, except in Africa, where it goes with higher income (Nunn and Puga 2012,
Ruggedness: The blessing of bad geography in Africa). How sure can we be of that from 170 nations? The study fits a
regression by maximum likelihood, makes it Bayesian, fits three guides, and checks what each says about uncertainty.

Run: python examples/geography.py [--data DIR] [--out DIR] [--seed N]
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from _figures import BLUE, GREY, INK, ORANGE, density, figure_folder, parser, plt, save

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.contrib.datasets import Rugged, load_rugged
from pyroxene.distributions import constraints
from pyroxene.errors import MissingPackageError
from pyroxene.infer import SVI, Predictive, Trace_ELBO
from pyroxene.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyroxene.optim import Adam

COEFFICIENTS = ("a", "bA", "bR", "bAR", "sigma")
GUIDE_COLOURS = {"AutoNormal": ORANGE, "AutoMultivariateNormal": BLUE}
Arguments = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def simple_model(is_cont_africa: torch.Tensor, ruggedness: torch.Tensor, log_gdp: torch.Tensor | None = None) -> Any:
    """Linear regression whose coefficients are parameters: fitted by maximum likelihood."""
    a = pyro.param("a", lambda: torch.randn(()))
    b_a = pyro.param("bA", lambda: torch.randn(()))
    b_r = pyro.param("bR", lambda: torch.randn(()))
    b_ar = pyro.param("bAR", lambda: torch.randn(()))
    sigma = pyro.param("sigma", lambda: torch.ones(()), constraint=constraints.positive)
    mean = a + b_a * is_cont_africa + b_r * ruggedness + b_ar * is_cont_africa * ruggedness
    with pyro.plate("data", len(ruggedness)):
        return pyro.sample("obs", dist.Normal(mean, sigma), obs=log_gdp)


def model(is_cont_africa: torch.Tensor, ruggedness: torch.Tensor, log_gdp: torch.Tensor | None = None) -> Any:
    """Linear regression whose coefficients are random variables: their posterior is what we want."""
    a = pyro.sample("a", dist.Normal(0.0, 10.0))
    b_a = pyro.sample("bA", dist.Normal(0.0, 1.0))
    b_r = pyro.sample("bR", dist.Normal(0.0, 1.0))
    b_ar = pyro.sample("bAR", dist.Normal(0.0, 1.0))
    sigma = pyro.sample("sigma", dist.Uniform(0.0, 10.0))
    mean = a + b_a * is_cont_africa + b_r * ruggedness + b_ar * is_cont_africa * ruggedness
    with pyro.plate("data", len(ruggedness)):
        return pyro.sample("obs", dist.Normal(mean, sigma), obs=log_gdp)


def custom_guide(is_cont_africa: torch.Tensor, ruggedness: torch.Tensor, log_gdp: torch.Tensor | None = None) -> Any:
    """Independent normals for all coefficients, written by hand (mean field)."""
    a_loc = pyro.param("a_loc", lambda: torch.tensor(0.0))
    a_scale = pyro.param("a_scale", lambda: torch.tensor(1.0), constraint=constraints.positive)
    sigma_loc = pyro.param("sigma_loc", lambda: torch.tensor(1.0), constraint=constraints.positive)
    weights_loc = pyro.param("weights_loc", lambda: torch.randn(3))
    weights_scale = pyro.param("weights_scale", lambda: torch.ones(3), constraint=constraints.positive)
    a = pyro.sample("a", dist.Normal(a_loc, a_scale))
    b_a = pyro.sample("bA", dist.Normal(weights_loc[0], weights_scale[0]))
    b_r = pyro.sample("bR", dist.Normal(weights_loc[1], weights_scale[1]))
    b_ar = pyro.sample("bAR", dist.Normal(weights_loc[2], weights_scale[2]))
    sigma = pyro.sample("sigma", dist.Normal(sigma_loc, torch.tensor(0.05)))
    return {"a": a, "b_a": b_a, "b_r": b_r, "b_ar": b_ar, "sigma": sigma}


def fit(target: Any, guide: Any, arguments: Arguments, steps: int, lr: float = 0.02) -> torch.Tensor:
    """Fit a guide by stochastic variational inference, the learning rate falling at the end; return the losses."""
    losses = []
    for part_steps, part_lr in ((steps * 2 // 3, lr), (steps // 3, lr / 10)):
        svi = SVI(target, guide, Adam({"lr": part_lr}), Trace_ELBO())
        losses.append(svi.run(max(part_steps, 1), *arguments).losses)
    return torch.cat(losses)


def slopes(draws: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return draws of the slope of log GDP on ruggedness, in and outside Africa."""
    return {"African nations": draws["bR"] + draws["bAR"], "other nations": draws["bR"]}


def latent_draws(guide: Any, arguments: Arguments, num_samples: int) -> dict[str, torch.Tensor]:
    """Draw coefficients from a guide, in one run, inside a plate."""
    with torch.no_grad(), pyro.plate("samples", num_samples, dim=-1):
        draws: dict[str, torch.Tensor] = guide(*arguments)
    return draws


def render(folder: Path, arguments: Arguments) -> list[Path]:
    """Draw the two models and the guide as graphs; where the program dot is missing, write their text."""
    graphs = {
        "2_graph_maximum_likelihood": (simple_model, True),
        "3_graph_bayesian": (model, False),
        "4_graph_guide": (custom_guide, True),
    }
    paths = []
    for name, (program, with_params) in graphs.items():
        path = folder / f"{name}.png"
        try:
            pyro.render_model(
                program, model_args=arguments, filename=str(path), render_distributions=True, render_params=with_params
            )
        except MissingPackageError as missing:
            print(missing)
            path = path.with_suffix(".gv")
        paths.append(path)
    pyro.clear_param_store()
    return paths


def figure_data(folder: Path, nations: Rugged) -> Path:
    """Draw the data, in and outside Africa."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.9), sharey=True)
    for axis, inside, title in zip(axes, (0, 1), ("Other nations", "African nations"), strict=True):
        chosen = nations.is_cont_africa == inside
        axis.scatter(nations.ruggedness[chosen], nations.log_gdp[chosen], s=24, color=INK, alpha=0.65, lw=0)
        axis.set(title=f"{title} ({int(chosen.sum())})", xlabel="Terrain Ruggedness Index (100 m)")
    axes[0].set_ylabel("log GDP per head, 2000 ($)")
    return save(figure, folder, "1_data")


def figure_losses(folder: Path, losses: dict[str, torch.Tensor]) -> Path:
    """Draw the losses of the guides."""
    figure, axis = plt.subplots(figsize=(7.2, 3.2))
    colours = {"custom_guide": GREY, **GUIDE_COLOURS}
    for name, loss in losses.items():
        axis.plot(loss, color=colours[name], lw=0.5, alpha=0.35)
        smooth = loss.unfold(0, min(50, len(loss)), 1).mean(1)
        axis.plot(
            torch.arange(len(smooth)) + 25,
            smooth,
            color=colours[name],
            lw=1.8,
            label=f"{name}: {loss[-300:].mean():.1f}",
        )
    last = torch.stack([loss[-300:].mean() for loss in losses.values()]).min().item()
    axis.set(
        xlabel="SVI step",
        ylabel="ELBO loss (nats)",
        ylim=(last - 8, last + 90),
        title="Loss: faint each step, bold smoothed",
    )
    axis.legend()
    return save(figure, folder, "5_loss")


def figure_slopes(folder: Path, draws: dict[str, dict[str, torch.Tensor]]) -> Path:
    """Draw the posterior of the slopes under both guides."""
    figure, axes = plt.subplots(len(draws), 1, figsize=(7.2, 4.8), sharex=True)
    for axis, (name, latent) in zip(axes, draws.items(), strict=True):
        for (where, slope), colour in zip(slopes(latent).items(), (BLUE, ORANGE), strict=True):
            grid, height = density(slope)
            axis.fill_between(grid, height, color=colour, alpha=0.25, lw=0)
            axis.plot(grid, height, color=colour, label=f"{where}: {slope.mean():.3f} ± {slope.std():.3f}")
        axis.axvline(0.0, color=INK, lw=0.8, ls=(0, (4, 3)))
        axis.set(title=name, yticks=[], ylim=(0, None))
        axis.spines["left"].set_visible(False)
        axis.legend(loc="upper right", fontsize=9)
    axes[-1].set_xlabel("slope of log GDP on ruggedness (posterior density)")
    return save(figure, folder, "6_slopes")


def figure_predictive(folder: Path, nations: Rugged, predicted: dict[str, torch.Tensor]) -> Path:
    """Draw the posterior predictive distribution with 90 % bands beside the data, one row a guide."""
    figure, axes = plt.subplots(len(predicted), 2, figsize=(9.6, 6.6), sharex=True, sharey=True)
    for row, (name, gdp) in zip(axes, predicted.items(), strict=True):
        low, high = gdp.quantile(torch.tensor([0.05, 0.95]), dim=0)
        for axis, inside, title in zip(row, (0, 1), ("other nations", "Africa"), strict=True):
            chosen = nations.is_cont_africa == inside
            order = nations.ruggedness[chosen].argsort()
            x = nations.ruggedness[chosen][order]
            axis.fill_between(x, low[chosen][order], high[chosen][order], color=GUIDE_COLOURS[name], alpha=0.22, lw=0)
            axis.plot(x, gdp.mean(0)[chosen][order], color=GUIDE_COLOURS[name])
            axis.scatter(x, nations.log_gdp[chosen][order], s=18, color=INK, alpha=0.65, lw=0)
            inside_band = (nations.log_gdp >= low) & (nations.log_gdp <= high)
            axis.set_title(f"{name}, {title}: {inside_band[chosen].float().mean():.0%} inside", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("Terrain Ruggedness Index (100 m)")
    for axis in axes[:, 0]:
        axis.set_ylabel("log GDP per head ($)")
    figure.suptitle("Posterior predictive distribution: mean and 90 % band", x=0.01, ha="left")
    return save(figure, folder, "7_posterior_predictive")


def figure_pairs(folder: Path, draws: dict[str, dict[str, torch.Tensor]]) -> Path:
    """Draw what mean field cannot say: the joint posterior of pairs of coefficients under both guides."""
    pairs = (("a", "bR"), ("bA", "bAR"))
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.2))
    for axis, (first, second) in zip(axes, pairs, strict=True):
        for name in ("AutoMultivariateNormal", "AutoNormal"):
            latent = draws[name]
            axis.scatter(
                latent[first][:3000], latent[second][:3000], s=5, alpha=0.3, lw=0, color=GUIDE_COLOURS[name], label=name
            )
        axis.set(xlabel=first, ylabel=second, title=f"{first} and {second}")
    legend = axes[0].legend(markerscale=3)
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)
    return save(figure, folder, "8_pairs")


def print_coefficients(draws: dict[str, dict[str, torch.Tensor]]) -> None:
    """Print means and standard deviations of the coefficients under each guide."""
    print(f"\n{'':>7}" + "".join(f" | {name:^22}" for name in draws))
    print(f"{'':>7}" + f" | {'mean':>10} {'sd':>11}" * len(draws))
    for name in COEFFICIENTS:
        print(f"{name:>7}" + "".join(f" | {d[name].mean():10.3f} {d[name].std():11.3f}" for d in draws.values()))


def main() -> None:
    """Run the study and say where its figures are."""
    command = parser(__doc__, "geography")
    command.add_argument("--data", type=Path, help="folder with rugged_data.csv")
    options = command.parse_args()
    began = time.perf_counter()
    torch.set_num_threads(1)
    nations = load_rugged(options.data)
    arguments = (nations.is_cont_africa, nations.ruggedness, nations.log_gdp)
    folder = figure_folder(options.out)
    steps, num_samples = (60, 100) if options.quick else (3000, 8000)

    pyro.clear_param_store()
    pyro.set_rng_seed(options.seed)
    figures = [figure_data(folder, nations), *render(folder, arguments)]

    print("Maximum likelihood:")
    fit(simple_model, lambda *args: None, arguments, steps)
    for name, value in pyro.get_param_store().items():
        print(f"  {name:<6} {value.item():8.3f}")

    losses, draws, predicted = {}, {}, {}
    guides: dict[str, Any] = {
        "custom_guide": custom_guide,
        "AutoNormal": AutoNormal(model),
        "AutoMultivariateNormal": AutoMultivariateNormal(model),
    }
    for name, guide in guides.items():
        pyro.clear_param_store()
        pyro.set_rng_seed(options.seed)
        print(f"\n{name}:")
        # The guide by hand starts at 0 and must walk to 9.2; the autoguides start at the prior's middle on every scale.
        losses[name] = fit(model, guide, arguments, steps, lr=0.06 if guide is custom_guide else 0.02)
        for param_name, value in pyro.get_param_store().items():
            if value.numel() <= 5:
                print(" ", param_name, pyro.param(param_name).data.cpu().numpy())
        if name in GUIDE_COLOURS:
            draws[name] = latent_draws(guide, arguments, num_samples)
            predictive = Predictive(model, guide=guide, num_samples=num_samples, parallel=True)
            predicted[name] = predictive(nations.is_cont_africa, nations.ruggedness)["obs"]

    print_coefficients(draws)
    print("\nSlope of log GDP on ruggedness:")
    for name, latent in draws.items():
        for where, slope in slopes(latent).items():
            print(
                f"  {name:<22} {where:<16} {slope.mean():7.3f} ± {slope.std():.3f}"
                f"   P(slope > 0) = {(slope > 0).float().mean():.2f}"
            )

    figures += [
        figure_losses(folder, losses),
        figure_slopes(folder, draws),
        figure_predictive(folder, nations, predicted),
        figure_pairs(folder, draws),
    ]
    print(f"\nDone in {time.perf_counter() - began:.1f} s. Figures: {folder}")
    for figure in figures:
        print(f"  {figure.name}")


if __name__ == "__main__":
    main()
