"""The one-page language against the whole one, and against posteriors that are known."""

import math

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
import pyroxene.optim
from pyroxene.contrib import minipyro as mini
from pyroxene.distributions import constraints
from pyroxene.infer import Trace_ELBO

DATA = torch.tensor([1.0, 2.5, 4.0, 3.5])


@pytest.fixture(autouse=True)
def empty_stores():
    mini.get_param_store().clear()
    pyroxene.clear_param_store()
    yield
    mini.get_param_store().clear()
    pyroxene.clear_param_store()


def programs(language):
    """The same model and guide in either language: a scale that is a parameter, a latent, a plate within a plate."""

    def model(data):
        loc = language.sample("loc", dist.Normal(0.0, 10.0))
        scale = language.param("noise", torch.tensor(1.5), constraint=constraints.positive)
        with language.plate("copies", 2, dim=-2), language.plate("data", len(data), dim=-1):
            local = language.sample("local", dist.Normal(loc, 1.0))
            language.sample("obs", dist.Normal(local, scale), obs=data)

    def guide(data):
        centre = language.param("centre", torch.tensor(0.3))
        spread = language.param("spread", torch.tensor(0.8), constraint=constraints.interval(0.1, 3.0))
        loc = language.sample("loc", dist.Normal(centre, spread))
        locs = language.param("locs", torch.zeros(2, len(data)))
        with language.plate("copies", 2, dim=-2), language.plate("data", len(data), dim=-1):
            language.sample("local", dist.Normal(locs + 0.1 * loc, 0.5))

    return model, guide


def test_elbo_and_gradients_equal_those_of_the_full_language():
    names = ("centre", "locs", "noise", "spread")
    torch.manual_seed(0)
    loss = mini.elbo(*programs(mini), DATA)
    loss.backward()
    torch.manual_seed(0)
    expected = Trace_ELBO().differentiable_loss(*programs(pyroxene), DATA)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for name in names:
        gradient = mini.get_param_store()[name][0].grad
        assert gradient is not None and gradient.abs().sum() > 0
        torch.testing.assert_close(gradient, pyroxene.param(name).unconstrained().grad)


@pytest.mark.parametrize("loss", [mini.Trace_ELBO, mini.JitTrace_ELBO])
def test_steps_of_svi_equal_those_of_the_full_language(loss):
    torch.manual_seed(1)
    svi = mini.SVI(*programs(mini), mini.Adam({"lr": 0.02}), loss(max_plate_nesting=2))
    losses = [svi.step(DATA) for _ in range(5)]
    torch.manual_seed(1)
    full = pyroxene.infer.SVI(*programs(pyroxene), pyroxene.optim.Adam({"lr": 0.02}), Trace_ELBO())
    assert losses == pytest.approx([full.step(DATA) for _ in range(5)], rel=1e-5)
    assert all(isinstance(value, float) for value in losses)
    for name in ("centre", "locs", "noise", "spread"):
        torch.testing.assert_close(mini.param(name), pyroxene.param(name))


PRECISION = 1 / 4 + len(DATA)
"""Of the posterior under the prior N(0, 2^2) and the likelihood N(loc, 1)."""


def conjugate_model(data):
    loc = mini.sample("loc", dist.Normal(0.0, 2.0))
    with mini.plate("data", len(data)):
        mini.sample("obs", dist.Normal(loc, 1.0), obs=data)


def normal_guide(data):
    centre = mini.param("centre", torch.tensor(0.0))
    spread = mini.param("spread", torch.tensor(1.0), constraint=constraints.positive)
    mini.sample("loc", dist.Normal(centre, spread))


def test_elbo_of_the_exact_posterior_is_the_evidence_whatever_is_drawn():
    mini.param("centre", DATA.sum() / PRECISION)
    mini.param("spread", torch.tensor(PRECISION**-0.5), constraint=constraints.positive)
    cover = torch.eye(len(DATA)) + 4.0 * torch.ones(len(DATA), len(DATA))
    evidence = dist.MultivariateNormal(torch.zeros(len(DATA)), cover).log_prob(DATA)
    torch.manual_seed(2)
    for _ in range(5):
        torch.testing.assert_close(mini.elbo(conjugate_model, normal_guide, DATA), -evidence)


def test_svi_finds_the_conjugate_posterior():
    """Seeded. Adam divides by the gradient's size, so with rate r, posterior scale s and two draws a step the centre
    wanders with variance r s / (2 sqrt(2)), a standard deviation of 0.03 at the last rate, and about as much is left
    over from the rates before; the logarithm of the spread does the same. Five deviations: fewer than 1 of 10^6 fail.
    """
    torch.manual_seed(2)
    for rate in (0.1, 0.02, 0.005):
        svi = mini.SVI(conjugate_model, normal_guide, mini.Adam({"lr": rate}), mini.Trace_ELBO(num_particles=2))
        for _ in range(80):
            svi.step(DATA)
    assert mini.param("centre").item() == pytest.approx(DATA.sum().item() / PRECISION, abs=0.2)
    assert mini.param("spread").item() == pytest.approx(PRECISION**-0.5, abs=0.15)


def test_the_gradient_of_a_draw_that_is_not_differentiable_is_refused():
    def model():
        mini.sample("z", dist.Bernoulli(0.5))

    def guide():
        mini.sample("z", dist.Bernoulli(mini.param("p", torch.tensor(0.3), constraint=constraints.unit_interval)))

    with pytest.raises(ValueError, match="'z' is not differentiable"):
        mini.elbo(model, guide)
    expected = (0.5 * torch.ones(1)).log() * 0
    torch.testing.assert_close(mini.elbo(model, model), expected.sum())


def test_a_message_visits_handlers_outwards_and_returns_inwards():
    visits = []

    class Note(mini.Messenger):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def process_message(self, msg):
            visits.append(f"{self.name} out {msg['value']}")

        def postprocess_message(self, msg):
            visits.append(f"{self.name} back {msg['value']}")

    with Note("a"), mini.block(hide_fn=lambda msg: msg["name"] == "hidden"), Note("b"):
        assert mini.sample("seen", lambda x: x + 1, 1) == 2
        mini.sample("hidden", lambda: 5)
    assert visits == ["b out None", "a out None", "a back 2", "b back 2", "b out None", "b back 5"]
    assert mini.STACK == []


def test_apply_stack_returns_the_message_it_was_given():
    msg = {"type": "sample", "name": "x", "fn": lambda: 3, "args": (), "kwargs": {}, "value": None}
    msg |= {"is_observed": False, "stop": False}
    with mini.trace() as sites:
        assert mini.apply_stack(msg) is msg
    assert msg["value"] == 3 and sites["x"]["value"] == 3


def test_trace_replay_and_observation():
    def model():
        x = mini.sample("x", dist.Normal(0.0, 1.0))
        return x + mini.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(2.0))

    tracer = mini.trace(model)
    sites = tracer.get_trace()
    assert list(sites) == ["x", "y"] and sites["y"]["is_observed"] and not sites["x"]["is_observed"]
    sites["y"]["value"] = torch.tensor(-7.0)
    assert mini.replay(model, sites)() == sites["x"]["value"] + 2.0

    def twice():
        mini.sample("x", dist.Normal(0.0, 1.0))
        mini.sample("x", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="'x'"):
        mini.trace(twice)()
    assert mini.STACK == []


def test_seed_gives_the_same_numbers_and_leaves_the_others_alone():
    def draw():
        return mini.sample("x", dist.Normal(torch.zeros(3), 1.0))

    torch.manual_seed(3)
    first, second = torch.rand(1), torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == first
    seeded = mini.seed(draw, rng_seed=7)
    assert torch.equal(seeded(), seeded())
    with mini.seed(rng_seed=7):
        inside = draw()
    assert torch.equal(inside, seeded())
    assert torch.rand(1) == second


def test_plates_expand_what_is_inside():
    with mini.plate("rows", 3, dim=-2), mini.plate("columns", 2):
        assert mini.sample("x", dist.Normal(0.0, 1.0)).shape == (3, 2)
        assert mini.sample("v", dist.Normal(torch.zeros(2, 4), 1.0).to_event(1)).shape == (3, 2, 4)
        with pytest.raises(ValueError, match="'y' has 4 rows at -1, its plate 2"):
            mini.sample("y", dist.Normal(torch.zeros(4), 1.0))
    with mini.plate("inner", 5), pytest.raises(ValueError, match="two plates stand at dimension -1"):
        mini.plate("clash", 5, dim=-1).__enter__()
    with mini.plate("a", 2), mini.plate("b", 3):
        assert mini.sample("z", dist.Poisson(1.0)).shape == (3, 2)
    assert list(mini.plate("loop", 3)) == [0, 1, 2]
    assert mini.STACK == []


def test_parameters_are_stored_without_their_constraint():
    value = mini.param("p", lambda: torch.tensor(0.25), constraint=constraints.unit_interval)
    assert value.item() == pytest.approx(0.25)
    leaf, constraint = mini.get_param_store()["p"]
    assert leaf is value.unconstrained() and leaf.is_leaf and leaf.requires_grad
    assert leaf.item() == pytest.approx(math.log(0.25 / 0.75)) and constraint is constraints.unit_interval
    assert mini.param("p", torch.tensor(9.0)).item() == pytest.approx(0.25), "the store goes before the first value"
    with pytest.raises(KeyError, match="no parameter 'q'"):
        mini.param("q")


def test_a_handler_without_a_function_cannot_be_called():
    with pytest.raises(AssertionError, match="with"):
        mini.trace()()
