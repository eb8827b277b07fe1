"""A discrete latent variable with a hand-written guide: TraceGraph_ELBO and its baselines."""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
from torch import nn
from torch.distributions import constraints

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


def model(data):
    """A mixture of two normals with unknown membership and one unknown distance."""
    distance = pyro.sample("distance", dist.Gamma(4.0, 1.0))
    with pyro.plate("data", len(data)):
        member = pyro.sample("member", dist.Bernoulli(0.4))
        pyro.sample("obs", dist.Normal(member * distance, 1.0), obs=data)


class Baseline(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(x.unsqueeze(-1)).squeeze(-1)


def make_guide(baseline, network=None):
    def guide(data):
        if network is not None:
            pyro.module("baseline", network)
        a = pyro.param("a", torch.tensor(8.0), constraint=constraints.positive)
        b = pyro.param("b", torch.tensor(2.0), constraint=constraints.positive)
        pyro.sample("distance", dist.Gamma(a, b))
        logits = pyro.param("logits", torch.zeros(len(data)))
        with pyro.plate("data", len(data)):
            infer = {} if baseline is None else {"baseline": baseline}
            pyro.sample("member", dist.Bernoulli(logits=logits), infer=infer)

    return guide


def fit(title, data, loss, baseline, network=None, steps=60):
    pyro.set_rng_seed(8)
    pyro.clear_param_store()
    svi = SVI(model, make_guide(baseline, network), pyro.optim.Adam({"lr": 0.1, "betas": (0.9, 0.99)}), loss)
    losses = [svi.step(data) for _ in range(steps)]
    show(f"{title} first", losses[:3])
    show(f"{title} mean of last", sum(losses[-20:]) / 20)
    show(f"{title} logits", pyro.param("logits").detach())
    show(f"{title} distance", (pyro.param("a") / pyro.param("b")).detach())


def main():
    pyro.set_rng_seed(8)
    data = torch.cat([torch.randn(6), 4.0 + torch.randn(4)])
    fit("plain", data, Trace_ELBO(), None)
    fit("graph", data, TraceGraph_ELBO(), None)
    fit("decaying average", data, TraceGraph_ELBO(), {"use_decaying_avg_baseline": True, "baseline_beta": 0.9})
    value = {"baseline_value": torch.full((10,), -2.0)}
    fit("given value", data, TraceGraph_ELBO(), value)
    for title, trained in (("network", True), ("network left alone", False)):
        pyro.set_rng_seed(9)
        network = Baseline()
        baseline = {"nn_baseline": network, "nn_baseline_input": data}
        fit(title, data, TraceGraph_ELBO(), baseline, network if trained else None)
        show(f"{title} weight", network.layer.weight.detach())
        print("store:", " ".join(sorted(pyro.get_param_store().keys())))


if __name__ == "__main__":
    main()
