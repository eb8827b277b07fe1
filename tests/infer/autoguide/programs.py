"""What every autoguide does to small models, as numbers: run under pyro-ppl it makes expected.json.

python programs.py pyro > expected.json
"""

from __future__ import annotations

import importlib
import json
import sys

import torch

SEED = 20


def describe(value):
    """Return nested numbers, rounded to six digits; shapes stay visible."""
    if isinstance(value, torch.Tensor):
        return [list(value.shape), [float(f"{number:.6g}") for number in value.detach().double().flatten().tolist()]]
    if isinstance(value, dict):
        return {str(name): describe(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(each) for each in value]
    return value


class Programs:
    """The programs, written for any package of Pyro's interface."""

    def __init__(self, name):
        load = importlib.import_module
        self.pyro, self.dist, self.poutine = load(name), load(f"{name}.distributions"), load(f"{name}.poutine")
        self.infer, self.optim, self.guides = (
            load(f"{name}.infer"),
            load(f"{name}.optim"),
            load(f"{name}.infer.autoguide"),
        )

    def supports(self):
        """Sample from every kind of support, one of them under a dotted name."""
        sample, dist = self.pyro.sample, self.dist
        a = sample("net.a", dist.Normal(0.0, 1.0))
        v = sample("v", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        p = sample("p", dist.Gamma(2.0, 2.0))
        u = sample("u", dist.Uniform(-1.0, 3.0))
        w = sample("w", dist.Dirichlet(torch.ones(3)))
        c = sample("c", dist.LKJCholesky(3, 1.0))
        mean = a + v.sum(-1) + p + u + w[..., 0] + c[..., 2, 0]
        sample("x", dist.Normal(mean, 1.0), obs=torch.tensor(1.5))

    def plates(self):
        """Nest two plates, and put one around data alone."""
        sample, dist, plate = self.pyro.sample, self.dist, self.pyro.plate
        m = sample("m", dist.Normal(0.0, 1.0))
        with plate("outer", 2, dim=-2):
            o = sample("o", dist.Normal(m, 1.0))
            with plate("inner", 3, dim=-1):
                i = sample("i", dist.LogNormal(o, 0.5))
                d = sample("d", dist.Dirichlet(torch.ones(2)))
                sample("x", dist.Normal(i + d[..., 0], 1.0), obs=torch.arange(6.0).reshape(2, 3))
        with plate("data", 4):
            sample("y", dist.Normal(m, 1.0), obs=torch.ones(4))

    def subsampled(self):
        """Draw a subsample, with a scalar and a vector site in it."""
        sample, dist = self.pyro.sample, self.dist
        m = sample("m", dist.Normal(0.0, 1.0))
        with self.pyro.plate("rows", 6, subsample_size=4, dim=-1) as rows:
            z = sample("z", dist.Normal(m, 1.0))
            q = sample("q", dist.Dirichlet(torch.ones(2)))
            sample("x", dist.Normal(z + q[..., 0], 1.0), obs=torch.arange(6.0)[rows])

    def a_list(self, model):
        """Guide the first latent site by AutoDelta, the others by AutoNormal."""
        first = {"supports": "net.a", "plates": "m", "subsampled": "m"}[model.__name__]
        guide = self.guides.AutoGuideList(model)
        guide.append(self.guides.AutoDelta(self.poutine.block(model, expose=[first])))
        guide.append(self.guides.AutoNormal(self.poutine.block(model, hide=[first])))
        return guide

    def given_plates(self, model):
        """Make the subsampled plate by hand."""
        rows = {"subsampled": [("rows", 6, 4)]}.get(model.__name__, [])
        return self.guides.AutoNormal(
            model, create_plates=lambda: [self.pyro.plate(name, size, few, dim=-1) for name, size, few in rows]
        )

    def makers(self):
        """Return a function of a model for each guide, by name."""
        g = self.guides
        return {
            "AutoNormal": g.AutoNormal,
            "AutoNormal wide": lambda model: g.AutoNormal(model, init_scale=0.5, init_loc_fn=g.init_to_median),
            "AutoNormal create_plates": self.given_plates,
            "AutoDelta": g.AutoDelta,
            "AutoDiagonalNormal": g.AutoDiagonalNormal,
            "AutoMultivariateNormal": g.AutoMultivariateNormal,
            "AutoLowRankMultivariateNormal": lambda model: g.AutoLowRankMultivariateNormal(model, rank=2),
            "AutoLaplaceApproximation": g.AutoLaplaceApproximation,
            "AutoGuideList": self.a_list,
        }

    def run(self, maker, model):
        """Fit a guide for three steps; return parameters, losses, draws, medians, sites and the state."""
        pyro, poutine = self.pyro, self.poutine
        pyro.clear_param_store()
        pyro.set_rng_seed(SEED)
        guide = self.makers()[maker](getattr(self, model))
        report = {"first": guide(), "params": dict(pyro.get_param_store().items())}
        elbo = self.infer.Trace_ELBO()
        svi = self.infer.SVI(getattr(self, model), guide, self.optim.Adam({"lr": 0.05}), elbo)
        report["losses"] = [svi.step() for _ in range(3)]
        vectorised = self.infer.Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=2)
        report["vectorised loss"] = self.infer.SVI(
            getattr(self, model), guide, self.optim.SGD({"lr": 0.0}), vectorised
        ).step()
        trace = poutine.trace(guide).get_trace()
        report["sites"] = {
            name: site["value"] for name, site in trace.nodes.items() if site["type"] in ("sample", "param")
        }
        report["log_prob"] = trace.log_prob_sum()
        with pyro.plate("samples", 5, dim=-3):
            report["many"] = guide()
        report["call"] = list(guide.call())
        if maker != "AutoLaplaceApproximation" and not (
            model == "subsampled" and maker in ("AutoDelta", "AutoGuideList")
        ):
            report["median"] = guide.median()
        if maker not in ("AutoDelta", "AutoLaplaceApproximation", "AutoGuideList"):
            report["quantiles"] = guide.quantiles([0.1, 0.5, 0.9])
        if hasattr(guide, "get_posterior"):
            report["latent"] = guide.sample_latent()
        for parallel in (False, True):
            predictive = self.infer.Predictive(getattr(self, model), guide=guide, num_samples=2, parallel=parallel)
            report[f"predictive {parallel}"] = predictive()
        report["state"] = {name: value.clone() for name, value in guide.state_dict().items()}
        report["next random number"] = torch.rand(())
        return guide, json.loads(json.dumps(describe(report)))

    def cases(self):
        """Return the pairs of guide and model that go together."""
        whole = ("AutoDiagonal", "AutoMultivariate", "AutoLowRank", "AutoLaplace")
        for maker in self.makers():
            for model in ("supports", "plates", "subsampled"):
                if not (model == "subsampled" and maker.startswith(whole)):
                    yield maker, model


if __name__ == "__main__":
    torch.set_num_threads(1)
    programs = Programs(sys.argv[1])
    print(json.dumps({f"{maker}, {model}": programs.run(maker, model)[1] for maker, model in programs.cases()}))
