"""Bayesian linear regression as a PyroModule with an AutoDiagonalNormal guide."""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal
from pyro.nn import PyroModule, PyroSample
from torch import nn

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


class Regression(PyroModule):
    def __init__(self, features):
        super().__init__()
        self.linear = PyroModule[nn.Linear](features, 1)
        self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, features]).to_event(2))
        self.linear.bias = PyroSample(dist.Normal(0.0, 10.0).expand([1]).to_event(1))

    def forward(self, x, y=None):
        sigma = pyro.sample("sigma", dist.Uniform(0.0, 10.0))
        mean = self.linear(x).squeeze(-1)
        with pyro.plate("data", x.shape[0]):
            pyro.sample("obs", dist.Normal(mean, sigma), obs=y)
        return mean


def main():
    pyro.set_rng_seed(1)
    x = torch.randn(60, 3)
    y = x @ torch.tensor([0.8, -1.3, 0.0]) + 0.4 + 0.3 * torch.randn(60)

    # A maximum-likelihood fit first, with the same class of layer.
    plain = PyroModule[nn.Linear](3, 1)
    optim = torch.optim.Adam(plain.parameters(), lr=0.05)
    for _ in range(200):
        loss = nn.functional.mse_loss(plain(x).squeeze(-1), y)
        optim.zero_grad()
        loss.backward()
        optim.step()
    show("least squares weight", plain.weight.detach())
    print("parameters:", " ".join(name for name, _ in plain.named_parameters()))

    model = Regression(3)
    guide = AutoDiagonalNormal(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), Trace_ELBO())
    pyro.clear_param_store()
    losses = [svi.step(x, y) for _ in range(400)]
    show("losses", losses[::100])
    guide.requires_grad_(False)
    for name, value in pyro.get_param_store().items():
        show(name, value)
    quantiles = guide.quantiles([0.25, 0.5, 0.75])
    for name in sorted(quantiles):
        show(f"quantiles of {name}", torch.as_tensor(quantiles[name]))

    predictive = Predictive(model, guide=guide, num_samples=200, return_sites=("linear.weight", "obs", "_RETURN"))
    samples = predictive(x)
    for name in sorted(samples):
        print(name, tuple(samples[name].shape))
    show("weight mean", samples["linear.weight"].mean(0))
    show("prediction", samples["obs"].mean(0)[:5])
    show("return", samples["_RETURN"].mean(0)[:5])


if __name__ == "__main__":
    main()
