"""Predictive: from the prior, from draws, from a guide; one by one, at once, and in batches.

That its numbers are Pyro's, in all these forms, is in test_against_pyro.py.
"""

from __future__ import annotations

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import nn
from pyroxene.errors import MissingSiteError, UsageError
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


def assert_standard_normal(noise):
    """Mean and mean square of n draws lie within 6 standard errors of 0 and 1: a failure once in 2e8.

    The square's error, for n >= 2000, is that near to normal.
    """
    n = noise.numel()
    assert n >= 2000 and abs(noise.mean()) < 6 / n**0.5 and abs((noise**2).mean() - 1) < 6 * (2 / n) ** 0.5


@pytest.mark.parametrize("options", [{}, {"parallel": True}, {"parallel": True, "batch_size": 170}], ids=str)
def test_draws_have_the_model_s_distribution(options):
    """a ~ N(0, 1), z ~ N(a, 1), y ~ N(z, 1): the three differences are independent standard normals."""
    count = 2000 if options else 500
    draws = Predictive(model, num_samples=count, **options)()
    assert {name: tuple(value.shape) for name, value in draws.items()} == {
        "a": (count, 1),
        "z": (count, 4),
        "y": (count, 4),
        "d": (count, 1),
    }
    assert_standard_normal(draws["z"] - draws["a"])
    assert_standard_normal(draws["y"] - draws["z"])
    if options:
        assert_standard_normal(draws["a"])
    assert torch.allclose(draws["d"], draws["y"].sum(-1, keepdim=True))


@pytest.mark.parametrize("parallel", [False, True])
def test_draws_of_a_guide_follow_the_guide(parallel):
    """The guide says N(1, 0.1) for a and z; y is drawn by the model around the guide's z."""
    draws = Predictive(model, guide=guide, num_samples=700, parallel=parallel)()
    assert_standard_normal((draws["z"] - 1) / 0.1)
    assert_standard_normal(draws["y"] - draws["z"])


def test_batches_of_unequal_size_keep_draws_in_order():
    given = {"a": torch.arange(7.0)}
    for size in (1, 3, 7, 100):
        predictive = Predictive(model, given, parallel=True, batch_size=size, return_sites=["a", "y", "_RETURN"])
        draws = predictive(torch.zeros(4))
        assert torch.equal(draws["a"].reshape(-1), given["a"])
        assert draws["y"].shape == draws["_RETURN"].shape == (7, 4)


def test_batches_of_a_guide_hand_their_draws_on():
    """y lies within ten standard deviations of its own z (a correct model fails once in 1e22)."""
    draws = Predictive(model, guide=guide, num_samples=10, parallel=True, batch_size=4)()
    assert draws["z"].shape == draws["y"].shape == (10, 4)
    assert (draws["y"] - draws["z"]).abs().max() < 10 and len(draws["z"].unique()) == 40


@pytest.mark.parametrize("parallel", [False, True])
def test_one_draw_keeps_its_dimension(parallel):
    predictive = Predictive(model, {"a": torch.tensor([3.0])}, parallel=parallel, return_sites=("y", "a"))
    draws = predictive(torch.zeros(4))
    assert draws["a"].shape == (1, 1) and draws["y"].shape == (1, 4)


@pytest.mark.parametrize("parallel", [False, True])
def test_plates_that_subsample(parallel):
    data = torch.arange(100.0)

    def subsampled():
        m = pyro.sample("m", dist.Normal(0.0, 0.001))
        with pyro.plate("p", 100, subsample_size=3) as index:
            return pyro.sample("y", dist.Normal(m + data[index], 0.001))

    draws = Predictive(subsampled, num_samples=6, parallel=parallel)()
    assert set(draws) == {"m", "y"} and draws["y"].shape == (6, 3)
    rows = draws["y"].round()
    assert (draws["y"] - rows).abs().max() < 0.1
    assert (len({tuple(row.tolist()) for row in rows}) == 1) is parallel  # one run has one minibatch


@pytest.mark.parametrize("parallel", [False, True])
def test_a_guide_that_is_a_module(parallel):
    class Guide(nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.loc = nn.PyroParam(torch.arange(4.0))
            self.a = nn.PyroSample(dist.Normal(100.0, 0.1))

        def forward(self, obs=None):
            a = self.a
            with pyro.plate("p", 4, dim=-1):
                pyro.sample("z", dist.Normal(self.loc + a, 0.001))

    predictive = Predictive(model, guide=Guide(), num_samples=5, parallel=parallel)
    draws = predictive()
    assert torch.allclose(draws["z"] - draws["a"], torch.arange(4.0).expand(5, 4), atol=0.02)
    assert [name for name, _ in predictive.named_parameters()] == ["guide.loc_unconstrained"]
    assert not any(value.requires_grad for value in draws.values())


def test_a_model_that_is_a_module():
    class Model(nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(1, 1)
            self.bias = nn.PyroSample(dist.Normal(0.0, 1.0))

        def forward(self, x):
            mean = self.net(x).squeeze(-1) + self.bias
            with pyro.plate("data", len(x)):
                return pyro.sample("y", dist.Normal(mean, 0.001))

    network = Model()
    predictive = Predictive(network, {"bias": torch.tensor([5.0, -5.0])})
    draws = predictive(torch.zeros(3, 1))
    expected = (network.net.bias + torch.tensor([[5.0], [-5.0]])).expand(2, 3)
    assert torch.allclose(draws["y"], expected, atol=0.02) and predictive.model is network
    assert {name for name, _ in predictive.named_parameters()} == {"model.net.weight", "model.net.bias"}


def test_what_it_was_made_of_can_be_read():
    given = {"a": torch.zeros(3)}
    predictive = Predictive(model, given, return_sites=["y"])
    assert predictive.model is model and predictive.guide is None and predictive.num_samples == 3
    assert predictive.posterior_samples == given and predictive.return_sites == ("y",)


def test_return_sites_of_every_kind():
    given = {"a": torch.arange(3.0)}
    for sites, found in (
        ((), {"z", "y", "d"}),
        (None, {"a", "z", "y", "d"}),
        ({"y", "_RETURN"}, {"y", "_RETURN"}),
        (["p", "y"], {"y"}),  # a plate's indices are no draws
        (["d"], {"d"}),
    ):
        assert set(Predictive(model, given, return_sites=sites)()) == found
    with pytest.raises(UsageError, match="does not have: .*'typo'"):
        Predictive(model, given, return_sites=["y", "typo"])()


@pytest.mark.parametrize("parallel", [False, True])
def test_a_trace_of_all_draws_at_once(parallel):
    trace = Predictive(model, guide=guide, num_samples=6, parallel=parallel).get_vectorized_trace(torch.zeros(4))
    assert trace.nodes["z"]["value"].shape == (6, 4) and trace.nodes["y"]["fn"].batch_shape == (6, 4)
    assert trace.nodes["y"]["is_observed"] and not trace.nodes["z"]["value"].requires_grad


def test_a_site_that_comes_and_goes_is_named():
    runs = []

    def branching():
        runs.append(1)
        pyro.sample("x", dist.Normal(0.0, 1.0))
        if len(runs) < 4:
            pyro.sample("rare", dist.Normal(0.0, 1.0))

    with pytest.raises(MissingSiteError, match="'rare'") as caught:
        Predictive(branching, num_samples=5)()
    assert isinstance(caught.value, KeyError)
    runs.clear()
    assert set(Predictive(branching, num_samples=5, return_sites=["x"])()) == {"x"}


def test_there_must_be_draws():
    for predictive in (lambda: Predictive(model, num_samples=0), lambda: Predictive(model, {"a": torch.zeros(0)})):
        with pytest.raises(UsageError, match="no draws"):
            predictive()
