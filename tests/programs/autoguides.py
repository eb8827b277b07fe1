"""Guides made from the model: fits, names of their parameters, medians and quantiles."""

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import (
    AutoCallable,
    AutoDelta,
    AutoDiagonalNormal,
    AutoGuideList,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    init_to_feasible,
    init_to_mean,
    init_to_median,
    init_to_value,
)

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


def model(data):
    centre = pyro.sample("centre", dist.Normal(0.0, 5.0))
    spread = pyro.sample("spread", dist.HalfNormal(2.0))
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("groups", data.shape[-1], dim=-1):
        effect = pyro.sample("effect", dist.Normal(centre, spread))
        with pyro.plate("data", data.shape[-2], dim=-2):
            pyro.sample("obs", dist.Normal(effect * weights[0] * 3.0, 0.8), obs=data)


def describe(title, guide, data, steps=80):
    pyro.clear_param_store()
    pyro.set_rng_seed(13)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), Trace_ELBO())
    losses = [svi.step(data) for _ in range(steps)]
    show(f"{title} first", losses[:2])
    show(f"{title} last", sum(losses[-20:]) / 20)
    for name, value in sorted(pyro.get_param_store().items()):
        show(f"{title} {name} {tuple(value.shape)}", value.detach().reshape(-1)[:4])
    if not isinstance(guide, AutoLaplaceApproximation):
        show_median(title, guide, data)
    return guide


def show_median(title, guide, *args):
    median = guide.median(*args)
    for name in sorted(median):
        show(f"{title} median {name}", median[name].detach())


def show_quantiles(title, guide, *args):
    quantiles = guide.quantiles([0.1, 0.9], *args)
    for name in ("centre", "spread", "effect"):
        show(f"{title} quantiles {name}", torch.as_tensor(quantiles[name]).detach())


def main():
    pyro.set_rng_seed(2)
    data = torch.tensor([0.5, 1.5, 3.0, -1.0]) + 0.8 * torch.randn(6, 4)

    show_quantiles("normal", describe("normal", AutoNormal(model), data), data)
    describe("delta", AutoDelta(model), data)
    diagonal = describe("diagonal", AutoDiagonalNormal(model, init_loc_fn=init_to_mean), data)
    show_quantiles("diagonal", diagonal)
    full = describe("full", AutoMultivariateNormal(model, init_loc_fn=init_to_median(num_samples=9)), data)
    show_quantiles("full", full)
    posterior = full.get_posterior()
    show("full posterior", posterior.variance.detach())
    low = describe("low rank", AutoLowRankMultivariateNormal(model, rank=2, init_scale=0.2), data)
    show_quantiles("low rank", low)

    values = {"centre": torch.tensor(0.7), "weights": torch.tensor([0.5, 0.3, 0.2])}
    start = init_to_value(values=values, fallback=init_to_feasible)
    laplace = describe("laplace", AutoLaplaceApproximation(model, init_loc_fn=start), data)
    normal = laplace.laplace_approximation(data)
    show("laplace covariance", normal.get_posterior().covariance_matrix.diagonal().detach())
    show_median("laplace", normal)
    show_quantiles("laplace", normal)

    parts = AutoGuideList(model)
    parts.append(AutoNormal(poutine.block(model, expose=["effect"])))
    parts.append(AutoDelta(poutine.block(model, expose=["weights"])))

    def rest(data):
        loc = pyro.param("rest_loc", torch.tensor(0.5))
        pyro.sample("centre", dist.Normal(loc, 0.2))
        scale = pyro.param("rest_spread", torch.tensor(1.0), constraint=dist.constraints.positive)
        pyro.sample("spread", dist.LogNormal(scale.log(), 0.1))

    def rest_median(data):
        return {"centre": pyro.param("rest_loc"), "spread": pyro.param("rest_spread")}

    parts.append(AutoCallable(poutine.block(model, expose=["centre", "spread"]), rest, rest_median))
    describe("list", parts, data)

    # Guides of a model that subsamples need plates that subsample likewise.
    def subsampled(full_data):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", len(full_data), subsample_size=3) as i:
            local = pyro.sample("local", dist.Normal(loc, 1.0))
            pyro.sample("y", dist.Normal(local, 1.0), obs=full_data[i])

    pyro.clear_param_store()
    pyro.set_rng_seed(14)
    guide = AutoNormal(subsampled, create_plates=lambda d: pyro.plate("rows", len(d), subsample_size=3))
    svi = SVI(subsampled, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    rows = torch.arange(7.0)
    show("subsampled", [svi.step(rows) for _ in range(40)][::8])
    show("subsampled loc", pyro.param("AutoNormal.locs.loc").detach())
    show("subsampled local", pyro.param("AutoNormal.locs.local").detach())


if __name__ == "__main__":
    main()
