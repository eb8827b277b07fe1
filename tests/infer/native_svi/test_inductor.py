"""Steps by torch.compile: the numbers of eager PyTorch, the same random numbers. It compiles for ten seconds a test."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import optim, settings
from pyroxene.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyroxene.infer.native_svi.contest import Contest
from pyroxene.infer.native_svi.recording import record

X = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def wide():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def autoencoder(latent=dist.Normal, dropout=0.3):
    torch.manual_seed(3)
    encoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 2))
    decoder = nn.Linear(1, 3)

    def model(x):
        pyro.module("decoder", decoder)
        with pyro.plate("rows", len(x), subsample_size=7) as rows:
            z = pyro.sample("z", latent(x.new_ones(7, 1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(decoder(z), 0.5).to_event(1), obs=x[rows])

    def guide(x):
        pyro.module("encoder", encoder)
        with pyro.plate("rows", len(x), subsample_size=7) as rows:
            first, log_second = encoder(x[rows]).chunk(2, -1)
            first = first if latent is dist.Normal else first.exp()
            pyro.sample("z", latent(first, log_second.exp()).to_event(1))

    return model, guide


def make(program, elbo=Trace_ELBO, optimiser=optim.Adam):
    pyro.clear_param_store()
    pyro.set_rng_seed(4)
    model, guide = program()
    return SVI(model, guide, optimiser({"lr": 0.02}), elbo())


def steps(engine, count=8, **kwargs):
    """Return losses and parameters of single steps on new data each, and of a run after them."""
    generator = torch.Generator().manual_seed(2)
    seen = []
    with settings.context(svi_engine=engine):
        svi = make(**kwargs)
        for _ in range(count):
            seen.append(svi.step(torch.randn(24, 3, generator=generator, dtype=torch.float64)))
            seen += [value.detach().sum().item() for value in pyro.get_param_store().values()]
        used = svi._engines().engine
        result = svi.run(120, X.double(), progress=False)
    state = [own["state"] for own in svi.optim.get_state().values()]
    return used, result, (seen, result.losses, dict(result.params), state, torch.rand(2))


def assert_same(**kwargs):
    *_, expected = steps("eager", **kwargs)
    used, result, found = steps("inductor", **kwargs)
    assert (used, result.engine, result.reason) == ("inductor", "inductor", "")
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_all_that_is_drawn_is_what_eager_draws():
    """A subsample, dropout and the latent values; new data, parameters that are true after each step."""
    assert_same(program=autoencoder)
    assert settings.get("validate_distributions_torch")  # which torch.compile switches off for all


@pytest.mark.slow
@pytest.mark.parametrize(
    "kwargs",
    [
        {"program": lambda: autoencoder(dist.Gamma)},
        {"program": autoencoder, "elbo": lambda: Trace_ELBO(num_particles=3)},
        {"program": lambda: autoencoder(dropout=0.0), "elbo": TraceMeanField_ELBO},
        {"program": autoencoder, "optimiser": optim.ClippedAdam},
    ],
    ids=["gamma variates", "particles", "mean field", "clipped"],
)
def test_other_programs_are_the_eager_ones(kwargs):
    assert_same(**kwargs)


@pytest.mark.slow
def test_the_winner_is_the_fastest(monkeypatch):
    costs = {"eager": 1.0, "native": 2.0, "inductor": 0.5}
    took = Contest.took
    monkeypatch.setattr(Contest, "took", lambda self, engine, _, steps=1: took(self, engine, costs[engine], steps))
    used, result, found = steps("auto", program=lambda: autoencoder(dropout=0.0), count=80)
    assert (used, result.engine) == ("inductor", "inductor") and "500 ms on inductor, and 1000 ms" in result.reason
    *_, expected = steps("eager", program=lambda: autoencoder(dropout=0.0), count=80)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def drawn(x):
    scaled = nn.functional.dropout(x, 0.5) * torch.rand(3)
    return scaled + torch.randperm(3)[0] + torch.empty_like(x).normal_(), torch.randn(2)


def test_random_numbers_become_inputs_in_their_order():
    recording = record(drawn, [torch.ones(3)])
    torch.manual_seed(5)
    expected = drawn(torch.full((3,), 2.0))
    torch.manual_seed(5)
    noise = recording.noise()
    assert [tuple(values.shape) for values in noise] == [(3,), (3,), (3,), (3,), (2,)]
    torch.testing.assert_close(recording.program(torch.full((3,), 2.0), *noise), expected)


def test_random_numbers_of_what_is_computed_are_drawn_inside():
    recording = record(lambda x: (torch.rand(2) + torch._standard_gamma(x.exp()),), [torch.ones(2)])
    assert recording.noise() == ()
    torch.manual_seed(5)
    (found,) = recording.program(torch.zeros(2))
    torch.manual_seed(5)
    torch.testing.assert_close(found, torch.rand(2) + torch._standard_gamma(torch.ones(2)))


def test_tensors_of_outside_are_read_each_time_and_not_written():
    outside = torch.ones(2)
    recording = record(lambda x: (x * outside,), [torch.ones(2)])
    outside.fill_(3.0)
    assert recording.program(torch.ones(2))[0].tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="older than the step"):
        record(lambda x: (x + outside[0:1].add_(1.0),), [torch.ones(2)])
