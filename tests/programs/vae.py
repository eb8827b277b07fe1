"""A small variational autoencoder on random binary data, with pyro.module and minibatches."""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, JitTrace_ELBO, Trace_ELBO
from pyro.optim import Adam, ClippedAdam
from torch import nn

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


class Encoder(nn.Module):
    def __init__(self, pixels, hidden, latent):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(pixels, hidden), nn.Softplus())
        self.loc = nn.Linear(hidden, latent)
        self.log_scale = nn.Linear(hidden, latent)

    def forward(self, x):
        h = self.body(x)
        return self.loc(h), self.log_scale(h).exp()


class VAE(nn.Module):
    def __init__(self, pixels=20, hidden=16, latent=3):
        super().__init__()
        self.latent = latent
        self.encoder = Encoder(pixels, hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Softplus(), nn.Linear(hidden, pixels))

    def model(self, x, size):
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", size, subsample_size=len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(self.latent), x.new_ones(self.latent)).to_event(1))
            logits = self.decoder(z)
            pyro.sample("obs", dist.Bernoulli(logits=logits).to_event(1), obs=x)
        return logits

    def guide(self, x, size):
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", size, subsample_size=len(x)):
            loc, scale = self.encoder(x)
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    def reconstruct(self, x):
        loc, _ = self.encoder(x)
        return torch.sigmoid(self.decoder(loc))


def train(vae, svi, data, epochs, batch=25):
    history = []
    for _ in range(epochs):
        order = torch.randperm(len(data))
        total = 0.0
        for start in range(0, len(data), batch):
            total += svi.step(data[order[start : start + batch]], len(data))
        history.append(total / len(data))
    return history


def main():
    pyro.set_rng_seed(0)
    factors = torch.randn(100, 2)
    data = torch.bernoulli(torch.sigmoid(2.0 * factors @ torch.randn(2, 20)))
    vae = VAE()
    svi = SVI(vae.model, vae.guide, Adam({"lr": 0.01}), Trace_ELBO())
    history = train(vae, svi, data, epochs=36)
    show("loss an entry", history[::6])
    show("test loss", svi.evaluate_loss(data, len(data)) / len(data))
    show("reconstruction", vae.reconstruct(data[:1]).detach()[0, :6])
    print("parameters:", len(pyro.get_param_store().keys()))
    print("first:", sorted(pyro.get_param_store().keys())[0])
    show("norm", sum(float(p.detach().square().sum()) for p in vae.parameters()))

    # Parameters of one module may be trained at their own rate, and several particles at once.
    pyro.clear_param_store()

    def rates(name):
        return {"lr": 0.001 if name.startswith("encoder") else 0.01, "clip_norm": 5.0, "lrd": 0.999}

    loss = Trace_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(vae.model, vae.guide, ClippedAdam(rates), loss)
    show("two particles", train(vae, svi, data, epochs=5))

    pyro.clear_param_store()
    svi = SVI(vae.model, vae.guide, Adam({"lr": 0.001}), JitTrace_ELBO(ignore_jit_warnings=True))
    losses = [svi.step(data, size=len(data)) / len(data) for _ in range(2)]  # tracing draws, so no numbers to compare
    print("jit near the loss before:", all(10.0 < loss < 18.0 for loss in losses))


if __name__ == "__main__":
    main()
