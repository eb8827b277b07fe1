"""A hierarchical model of repeated measurements: PyroSample, schedules, TraceMeanField_ELBO, ELBO as a module."""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from pyro.optim import ClippedAdam, ExponentialLR
from torch.distributions import constraints

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


class Growth(PyroModule):
    """Weights of individuals over days: a line for each, drawn around a common line."""

    def __init__(self, individuals):
        super().__init__()
        self.individuals = individuals
        self.common = PyroSample(dist.Normal(torch.tensor([20.0, 5.0]), torch.tensor([10.0, 5.0])).to_event(1))
        self.spread = PyroSample(dist.HalfNormal(torch.tensor([3.0, 1.0])).to_event(1))
        self.lines = PyroSample(lambda self: dist.Normal(self.common, self.spread).to_event(1))
        self.noise = PyroSample(dist.LogNormal(0.0, 1.0))
        self.inflation = PyroParam(torch.tensor(1.0), constraint=constraints.greater_than(0.5))

    def forward(self, days, weights=None):
        noise, common, spread = self.noise, self.common, self.spread
        with pyro.plate("individuals", self.individuals, dim=-2):
            lines = self.lines.unsqueeze(-2) if self.lines.dim() == 2 else self.lines
            mean = lines[..., 0] + lines[..., 1] * days
            with pyro.plate("days", len(days), dim=-1):
                pyro.sample("weights", dist.StudentT(6.0, mean, noise * self.inflation), obs=weights)
        return common, spread


def mean_field_model(days, weights):
    noise = pyro.sample("noise", dist.LogNormal(0.0, 1.0))
    common = pyro.sample("common", dist.Normal(20.0, 10.0))
    slope = pyro.sample("slope", dist.Normal(5.0, 5.0))
    with pyro.plate("individuals", len(weights), dim=-2):
        start = pyro.sample("start", dist.Normal(common, 3.0))
        with pyro.plate("days", len(days), dim=-1):
            pyro.sample("weights", dist.Normal(start + slope * days, noise), obs=weights)


def mean_field_guide(days, weights):
    def normal(name, loc, *shape):
        mean = pyro.param(f"{name}_loc", torch.full(shape, loc))
        scale = pyro.param(f"{name}_scale", torch.full(shape, 0.5), constraint=constraints.positive)
        return dist.Normal(mean, scale)

    noise = pyro.param("noise_loc", torch.tensor(0.5))
    pyro.sample("noise", dist.LogNormal(noise, 0.1))
    pyro.sample("common", normal("common", 20.0))
    pyro.sample("slope", normal("slope", 5.0))
    with pyro.plate("individuals", len(weights), dim=-2):
        pyro.sample("start", normal("start", 20.0, len(weights), 1))


def fit(title, model, guide, optimizer, loss, args, steps=90, epoch=30):
    pyro.clear_param_store()
    pyro.set_rng_seed(31)
    svi = SVI(model, guide, optimizer, loss)
    losses = []
    for step in range(steps):
        losses.append(svi.step(*args))
        if hasattr(optimizer, "step") and step % epoch == epoch - 1:
            optimizer.step()
    show(f"{title} losses", losses[:: steps // 5])
    for name, value in sorted(pyro.get_param_store().items()):
        show(f"{title} {name}", value.detach().reshape(-1)[:3])


def main():
    pyro.set_rng_seed(30)
    days = torch.arange(5.0)
    lines = torch.tensor([24.0, 6.0]) + torch.randn(6, 2) * torch.tensor([2.0, 0.5])
    weights = lines[:, :1] + lines[:, 1:] * days + torch.randn(6, 5)

    args = (days, weights)
    schedule = ExponentialLR({"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "gamma": 0.5})
    fit("scheduled", mean_field_model, mean_field_guide, schedule, Trace_ELBO(), args)
    decayed = ClippedAdam({"lr": 0.1, "lrd": 0.1 ** (1 / 90), "clip_norm": 20.0})
    fit("mean field", mean_field_model, mean_field_guide, decayed, TraceMeanField_ELBO(), args)
    several = TraceMeanField_ELBO(num_particles=3)
    clipped = pyro.optim.Adam({"lr": 0.05}, {"clip_norm": 10.0})
    fit("three particles", mean_field_model, mean_field_guide, clipped, several, args, steps=50)

    # The same by hand: the ELBO as a module, trained by an optimiser of torch.
    pyro.clear_param_store()
    pyro.set_rng_seed(32)
    growth = Growth(6)
    guide = AutoNormal(growth, init_scale=0.05)
    elbo = Trace_ELBO()(growth, guide)
    elbo(days, weights)
    print("parameters:", " ".join(sorted(name for name, _ in elbo.named_parameters())))
    optim = torch.optim.Adam(elbo.parameters(), lr=0.05)
    losses = []
    for _ in range(100):
        optim.zero_grad()
        loss = elbo(days, weights)
        loss.backward()
        optim.step()
        losses.append(float(loss.detach()))
    show("module losses", losses[::20])
    show("inflation", growth.inflation.detach())
    median = guide.median(days, weights)
    for name in sorted(median):
        show(f"median {name}", median[name].detach().reshape(-1)[:4])
    with pyro.poutine.trace() as recorded:
        guide(days, weights)
    show("guide draws", torch.stack([recorded.trace.nodes[name]["value"].detach().sum() for name in sorted(median)]))


if __name__ == "__main__":
    main()
