"""Predictive in its forms, and what can be read off a model: relations, dependencies, shapes."""

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal
from pyro.infer.inspect import get_dependencies, get_model_relations

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


def model(x, y=None):
    slope = pyro.sample("slope", dist.Normal(0.0, 2.0))
    offset = pyro.sample("offset", dist.Normal(0.0, 2.0))
    noise = pyro.sample("noise", dist.HalfCauchy(1.0))
    mean = pyro.deterministic("mean", offset + slope * x)
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(mean, noise), obs=y)
    return mean.sum()


def describe(title, samples):
    for name in sorted(samples):
        value = samples[name].detach()
        print(f"{title} {name}:", tuple(value.shape))
        show(f"{title} {name} mean", value.float().mean(0).reshape(-1)[:3])


def hidden_markov(length=3):
    probs = pyro.sample("probs", dist.Beta(2.0, 2.0))
    state = torch.tensor(0.0)
    for t in range(length):
        state = pyro.sample(f"state_{t}", dist.Bernoulli(probs * 0.5 + 0.25 * state))
        pyro.sample(f"seen_{t}", dist.Normal(state, 1.0), obs=torch.tensor(0.1 * t))


def grouped(data):
    rate = pyro.param("rate", torch.tensor(1.0), constraint=dist.constraints.positive)
    top = pyro.sample("top", dist.HalfNormal(rate))
    with pyro.plate("groups", 2, dim=-2):
        middle = pyro.sample("middle", dist.Normal(top, 1.0))
        with pyro.plate("items", 3, dim=-1):
            pyro.sample("bottom", dist.Normal(middle, 1.0), obs=data)


def print_nested(value, indent=""):
    for key in sorted(value):
        inner = value[key]
        if isinstance(inner, dict):
            print(f"{indent}{key}:")
            print_nested(inner, indent + "  ")
        else:
            print(f"{indent}{key}: {sorted(inner) if isinstance(inner, (set, list, tuple)) else inner}")


def main():
    pyro.set_rng_seed(4)
    x = torch.linspace(-2.0, 2.0, 15)
    y = 1.2 * x - 0.3 + 0.4 * torch.randn(15)

    describe("prior", Predictive(model, num_samples=7)(x))
    guide = AutoDiagonalNormal(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    for _ in range(300):
        svi.step(x, y)

    describe("guide", Predictive(model, guide=guide, num_samples=50)(x))
    describe("parallel", Predictive(model, guide=guide, num_samples=50, parallel=True)(x))
    sites = ("slope", "y", "_RETURN")
    describe("sites", Predictive(model, guide=guide, num_samples=20, return_sites=sites)(x))
    posterior = {"slope": torch.tensor([1.0, 1.1, 1.2]), "offset": torch.zeros(3), "noise": torch.full((3,), 0.5)}
    describe("samples", Predictive(model, posterior)(x))
    describe("samples parallel", Predictive(model, posterior, parallel=True)(x[:4]))
    describe("guide alone", Predictive(guide, num_samples=30)(x))
    traces = Predictive(model, posterior).get_vectorized_trace(x)
    print("vectorised trace:", " ".join(traces.nodes))

    relations = get_model_relations(model, (x, y))
    print_nested(relations)
    print_nested(get_dependencies(model, (x, y)))
    print_nested(get_dependencies(hidden_markov, ()))
    print_nested(get_dependencies(grouped, (torch.zeros(2, 3),)))
    print_nested(get_model_relations(grouped, (torch.zeros(2, 3),)))

    trace = poutine.trace(grouped).get_trace(torch.zeros(2, 3))
    print(trace.format_shapes())
    trace.compute_log_prob()
    print(trace.format_shapes(title="With log densities:", last_site="middle"))

    try:
        args = (torch.zeros(2, 3),)
        graph = pyro.render_model(grouped, model_args=args, render_distributions=True, render_params=True)
        lines = [line.strip() for line in graph.source.splitlines()]  # what is drawn; not how it looks
        print("edges:", *sorted(line for line in lines if "->" in line), sep="\n  ")
        print("nodes:", *sorted({line.split(" [label=")[0] for line in lines if " [label=" in line}), sep="\n  ")
        print("clusters:", *sorted(line for line in lines if line.startswith("subgraph")), sep="\n  ")
    except ImportError:
        print("graphviz is not installed")


if __name__ == "__main__":
    main()
