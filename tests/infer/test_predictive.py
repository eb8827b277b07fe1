"""Predictive: from the prior, from draws, from a guide; one by one, at once, and in batches."""

from __future__ import annotations

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.errors import UsageError
from pyroxene.infer import Predictive
from pyroxene.infer.autoguide import AutoDiagonalNormal, AutoNormal


def model(obs=None):
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    with pyro.plate("p", 4, dim=-1):
        z = pyro.sample("z", dist.Normal(a, 1.0))
        y = pyro.sample("y", dist.Normal(z, 1.0), obs=obs)
    pyro.deterministic("d", y.sum(-1))
    return y


def guide(*args, **kwargs):
    pyro.sample("a", dist.Normal(1.0, 0.1))
    with pyro.plate("p", 4, dim=-1):
        pyro.sample("z", dist.Normal(1.0, 0.1))


def summary(draws):
    return {name: (tuple(value.shape), round(value.double().sum().item(), 3)) for name, value in draws.items()}


# Sums printed by pyro-ppl 1.9.2 (torch 2.13, CPU) for the same programs after pyro.set_rng_seed(0).
PYRO = {
    ("prior", False): {"a": ((5, 1), -2.804), "z": ((5, 4), -12.460), "y": ((5, 4), -9.804), "d": ((5, 1), -9.804)},
    ("prior", True): {"a": ((5, 1), 0.366), "z": ((5, 4), 10.224), "y": ((5, 4), 8.516), "d": ((5, 1), 8.516)},
    ("draws", False): {"z": ((5, 4), 33.990), "y": ((5, 4), 35.774), "d": ((5, 1), 35.774)},
    ("draws", True): {"z": ((5, 4), 40.694), "y": ((5, 4), 51.787), "d": ((5, 1), 51.787)},
    ("sites", False): {"a": ((5, 1), 10.0), "z": ((5, 4), 33.990), "_RETURN": ((5, 4), 35.774)},
    ("sites", True): {"a": ((5, 1), 10.0), "z": ((5, 4), 40.694), "_RETURN": ((5, 4), 51.787)},
    ("guide", False): {"a": ((5, 1), 5.168), "z": ((5, 4), 19.451), "y": ((5, 4), 24.026), "d": ((5, 1), 24.026)},
    ("guide", True): {"a": ((5, 1), 4.876), "z": ((5, 4), 19.413), "y": ((5, 4), 17.059), "d": ((5, 1), 17.059)},
}


@pytest.mark.parametrize(("kind", "parallel"), PYRO)
def test_numbers_are_pyro_s(kind, parallel):
    given = {"a": torch.arange(5.0)}
    make = {
        "prior": lambda: Predictive(model, num_samples=5, parallel=parallel),
        "draws": lambda: Predictive(model, given, parallel=parallel),
        "sites": lambda: Predictive(model, given, parallel=parallel, return_sites=["z", "_RETURN", "a"]),
        "guide": lambda: Predictive(model, guide=guide, num_samples=5, parallel=parallel),
    }[kind]
    pyro.set_rng_seed(0)
    found = summary(make()())
    assert found.keys() == PYRO[kind, parallel].keys()
    for name, (shape, total) in PYRO[kind, parallel].items():
        assert found[name][0] == shape and found[name][1] == pytest.approx(total, abs=2e-3)


@pytest.mark.parametrize("parallel", [False, True])
def test_observations_come_back_as_they_are(parallel):
    draws = Predictive(model, {"a": torch.arange(5.0)}, parallel=parallel)(obs=torch.ones(4))
    assert torch.equal(draws["y"], torch.ones(5, 4)) and torch.equal(draws["d"], torch.full((5, 1), 4.0))
    assert not any(value.requires_grad for value in draws.values())


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("kind", [AutoNormal, AutoDiagonalNormal])
def test_automatic_guides(parallel, kind):
    auto = kind(pyro.poutine.block(model, hide=["y", "d"]))
    auto()
    draws = Predictive(model, guide=auto, num_samples=6, parallel=parallel)()
    assert {name: tuple(value.shape) for name, value in draws.items()} == {
        "a": (6, 1),
        "z": (6, 4),
        "y": (6, 4),
        "d": (6, 1),
    }


@pytest.mark.parametrize("parallel", [False, True])
def test_given_draws_reach_the_model(parallel):
    """y given z = 100, -100 lies within ten standard deviations of it (a correct model fails once in 1e23)."""
    given = {"a": torch.zeros(2), "z": torch.tensor([[100.0] * 4, [-100.0] * 4])}
    draws = Predictive(model, given, parallel=parallel)()
    assert (draws["y"] - given["z"]).abs().max() < 10


def test_vector_sites_and_outer_plates():
    def simple():
        pyro.sample("w", dist.Dirichlet(torch.ones(3)))
        with pyro.plate("rows", 2, dim=-2), pyro.plate("columns", 5, dim=-1):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    for parallel in (False, True):
        shapes = {k: tuple(v.shape) for k, v in Predictive(simple, num_samples=7, parallel=parallel)().items()}
        assert shapes == {"w": (7, 1, 1, 3), "x": (7, 2, 5)}


def test_batches_bound_what_a_run_holds():
    sizes = []

    def watching():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        sizes.append(x.numel())
        return x

    given = {"x": torch.arange(10.0)}
    draws = Predictive(watching, given, parallel=True, batch_size=4, return_sites=["x", "_RETURN"])()
    assert max(sizes) == 4 and torch.equal(draws["x"].reshape(-1), given["x"])
    assert torch.equal(draws["_RETURN"].reshape(-1), given["x"])


def test_get_vectorized_trace():
    trace = Predictive(model, {"a": torch.arange(3.0)}).get_vectorized_trace()
    assert trace.nodes["z"]["value"].shape == (3, 4) and trace.nodes["a"]["value"].shape == (3, 1)


def test_results_that_are_no_tensors():
    def returning():
        pyro.sample("x", dist.Normal(0.0, 1.0))
        return {"what": "a dict"}

    draws = Predictive(returning, num_samples=3, return_sites=["_RETURN"])()
    assert draws["_RETURN"] == [{"what": "a dict"}] * 3


def test_it_is_a_module_of_its_model_and_guide():
    auto = AutoNormal(pyro.poutine.block(model, hide=["y", "d"]))
    auto()
    predictive = Predictive(model, guide=auto, num_samples=2)
    assert len(list(predictive.parameters())) == 4
    assert set(predictive.get_samples()) == set(predictive()) and len(predictive.call()) == 4


def test_what_it_refuses():
    with pytest.raises(UsageError, match="either posterior_samples or num_samples|Either"):
        Predictive(model)
    with pytest.warns(UserWarning, match="one draw for each of the 3 posterior_samples, not num_samples=4"):
        assert Predictive(model, {"a": torch.zeros(3)}, num_samples=4)()["y"].shape == (3, 4)
    with pytest.raises(UsageError, match="cannot be provided with the guide"):
        Predictive(model, {"a": torch.zeros(3)}, guide=guide)
    with pytest.raises(UsageError, match="infer num_samples"):
        Predictive(model, {})
    with pytest.raises(UsageError, match="sequence of names"):
        Predictive(model, num_samples=2, return_sites="y")
    with pytest.raises(UsageError, match="batch_size >= 1"):
        Predictive(model, num_samples=2, batch_size=0)


def test_gradients_are_not_recorded():
    pyro.param("scale", torch.tensor(1.0))

    def learning():
        return pyro.sample("x", dist.Normal(0.0, pyro.param("scale")))

    assert not Predictive(learning, num_samples=2)()["x"].requires_grad
