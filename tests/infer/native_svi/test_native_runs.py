"""SVI as machine code: the numbers of eager PyTorch, the same random numbers, and everything true afterwards."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import optim, poutine, settings
from pyroxene.distributions import constraints
from pyroxene.infer import SVI, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from pyroxene.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoGuideList,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)

EFFECT = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
ROWS = torch.randn(40, generator=torch.Generator().manual_seed(5)) + 1.0


def schools(y):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", 8):
        eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu + tau * eta, ERROR.to(y.dtype)), obs=y)


def regression(y):
    weights = pyro.sample("weights", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    sigma = pyro.sample("sigma", dist.Uniform(0.0, 10.0))
    with pyro.plate("data", len(y)):
        pyro.sample("obs", dist.Normal(weights[0] + weights[1] * y, sigma), obs=y)


def minibatches(y):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("data", len(y), subsample_size=7) as rows:
        local = pyro.sample("local", dist.Normal(mu, 1.0))
        pyro.sample("y", dist.Normal(local, 1.0), obs=y[rows])


def by_hand(y):
    """Draws before the model's plate draws its indices; a parameter that nothing reaches; two names for one leaf."""
    loc = pyro.param("loc", torch.zeros(()))
    scale = pyro.param("scale", torch.ones(()), constraint=constraints.positive)
    pyro.param("unused", torch.ones(2))
    pyro.sample("mu", dist.Normal(loc, scale))


def global_minibatches(y):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("data", len(y), subsample_size=7) as rows:
        pyro.sample("y", dist.Normal(mu, 1.0), obs=y[rows])


def heavy(y):
    """Each kind of noise that torch makes of uniforms, in single precision too."""
    a, b, c = (pyro.param(name, torch.tensor(0.3)) for name in "abc")
    pyro.sample("u", dist.Laplace(a, 0.5))
    pyro.sample("v", dist.Cauchy(b, 0.01))
    pyro.sample("w", dist.Exponential(c.exp()))
    pyro.sample("t", dist.Uniform(a, a + c.exp()), infer={"is_auxiliary": True})
    pyro.sample("s", dist.Gumbel(b, c.exp()), infer={"is_auxiliary": True})


def three(y):
    u, v = pyro.sample("u", dist.Normal(0.0, 5.0)), pyro.sample("v", dist.StudentT(3.0, 0.0, 1.0))
    w = pyro.sample("w", dist.Gamma(2.0, 1.0))
    with pyro.plate("data", len(y)):
        pyro.sample("y", dist.Normal(u + v, 1.0 + w), obs=y)


def likelihood(y):
    loc = pyro.param("loc", torch.zeros(()))
    scale = pyro.param("scale", torch.ones(()), constraint=constraints.positive)
    with pyro.plate("data", len(y)):
        pyro.sample("obs", dist.Normal(loc, scale), obs=y)


def walk(y):
    scale = pyro.sample("scale", dist.HalfNormal(1.0))

    def step(position, seen):
        position = pyro.sample("position", dist.Normal(position, scale))
        pyro.sample("seen", dist.Normal(position, 1.0), obs=seen)
        return position, None

    pyro.scan(step, torch.zeros((), dtype=y.dtype), y)


def mixed_guides(model):
    guide = AutoGuideList(model)
    guide.append(AutoDelta(poutine.block(model, expose=["mu"])))
    guide.append(AutoDiagonalNormal(poutine.block(model, hide=["mu"])))
    return guide


def nothing(y):
    return None


CASES = {
    "AutoNormal": (schools, AutoNormal, Trace_ELBO, EFFECT),
    "mean field": (schools, AutoNormal, TraceMeanField_ELBO, EFFECT),
    "graph": (schools, AutoNormal, TraceGraph_ELBO, EFFECT),
    "AutoDiagonalNormal": (schools, AutoDiagonalNormal, Trace_ELBO, EFFECT),
    "AutoMultivariateNormal": (regression, AutoMultivariateNormal, Trace_ELBO, ROWS),
    "AutoLowRank": (regression, AutoLowRankMultivariateNormal, Trace_ELBO, ROWS),
    "AutoDelta": (regression, AutoDelta, Trace_ELBO, ROWS),
    "particles": (schools, AutoNormal, lambda: Trace_ELBO(num_particles=3), EFFECT),
    "vectorised": (schools, AutoNormal, lambda: Trace_ELBO(num_particles=3, vectorize_particles=True), EFFECT),
    "local minibatches": (minibatches, AutoNormal, Trace_ELBO, ROWS),
    "minibatches of particles": (minibatches, AutoNormal, lambda: Trace_ELBO(num_particles=2), ROWS),
    "by hand": (global_minibatches, lambda model: by_hand, Trace_ELBO, ROWS),
    "conditioned": (
        lambda y: poutine.condition(schools, data={"tau": y.abs().mean()})(y),
        AutoNormal,
        Trace_ELBO,
        EFFECT,
    ),
    "scaled and masked": (poutine.scale(poutine.mask(schools, mask=True), 0.5), AutoNormal, Trace_ELBO, EFFECT),
    "a list": (schools, mixed_guides, Trace_ELBO, EFFECT),
    "a loop": (walk, AutoNormal, Trace_ELBO, ROWS[:12]),
    "noise of uniforms": (three, lambda model: heavy, Trace_ELBO, ROWS),
    "maximum likelihood": (likelihood, lambda model: nothing, Trace_ELBO, ROWS),
}

OPTIMISERS = {
    "SGD": lambda: optim.SGD({"lr": 1e-3}),
    "momentum": lambda: optim.SGD({"lr": 1e-3, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
    "nesterov": lambda: optim.SGD({"lr": 1e-3, "momentum": 0.9, "nesterov": True}),
    "Adam": lambda: optim.Adam({"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
    "amsgrad": lambda: optim.Adam({"lr": 0.02, "amsgrad": True}),
    "AdamW": lambda: optim.AdamW({"lr": 0.02}),
    "ClippedAdam": lambda: optim.ClippedAdam({"lr": 0.02, "lrd": 0.99, "clip_norm": 2.0, "weight_decay": 0.1}),
    "centred ClippedAdam": lambda: optim.ClippedAdam({"lr": 0.02, "centered_variance": True}),
    "RMSprop": lambda: optim.RMSprop({"lr": 0.01, "weight_decay": 0.1}),
    "centred RMSprop": lambda: optim.RMSprop({"lr": 0.01, "centered": True, "momentum": 0.5}),
    "Adagrad": lambda: optim.Adagrad({"lr": 0.05, "lr_decay": 0.01, "weight_decay": 0.1}),
    "clipped": lambda: optim.Adam({"lr": 0.02}, {"clip_norm": 1.0, "clip_value": 0.3}),
    "by name": lambda: optim.Adam(lambda name: {"lr": 0.01 if "locs" in name else 0.03}),
    "schedule": lambda: optim.ExponentialLR({"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.02}, "gamma": 0.9}),
    "in Python": lambda: optim.Adamax({"lr": 0.02}),
    "ours, in Python": lambda: optim.DCTAdam({"lr": 0.02}),
}


@pytest.fixture
def wide():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fitted(engine, model, guide, elbo, optimiser, y, steps=120):
    pyro.clear_param_store()
    pyro.set_rng_seed(4)
    with settings.context(svi_engine=engine):
        svi = SVI(model, guide(model), optimiser(), elbo())
        result = svi.run(steps, y, progress=False)
        parameters = {name: value.detach().clone() for name, value in pyro.get_param_store().items()}
        return result, parameters, copy.deepcopy(svi.optim.get_state()), torch.rand(3), svi


def assert_same(one, other, tolerance):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key], tolerance)
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            assert_same(a, b, tolerance)
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=tolerance)
    else:
        assert one == other


@pytest.mark.parametrize("name", CASES)
def test_a_native_run_is_the_eager_one(name, wide):
    """All of it: losses, parameters, the optimiser's state, and the random numbers that follow."""
    model, guide, elbo, y = CASES[name]
    eager, *expected, _ = fitted("eager", model, guide, elbo, lambda: optim.Adam({"lr": 0.02}), y.double())
    native, *found, _ = fitted("auto", model, guide, elbo, lambda: optim.Adam({"lr": 0.02}), y.double())
    assert (eager.engine, native.engine, native.reason) == ("eager", "native", "")
    assert_same(list(native.losses), list(eager.losses), 1e-10)
    assert_same(found, expected, 1e-10)
    assert native.params.keys() == eager.params.keys()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_are_torch_s(name, wide):
    case = (schools, AutoNormal, Trace_ELBO, OPTIMISERS[name], EFFECT.double())
    eager, *expected, _ = fitted("eager", *case)
    native, *found, _ = fitted("auto", *case)
    assert native.engine == "native"
    assert_same(list(native.losses), list(eager.losses), 1e-10)
    assert_same(found, expected, 1e-10)


@pytest.mark.parametrize("name", ["AutoNormal", "noise of uniforms", "AutoMultivariateNormal", "local minibatches"])
def test_single_precision_differs_by_rounding_alone(name):
    model, guide, elbo, y = CASES[name]
    case = (model, guide, elbo, lambda: optim.Adam({"lr": 0.02}), y)
    eager, parameters, _, after, _ = fitted("eager", *case)
    native, found, state, same, _ = fitted("auto", *case)
    assert native.engine == "native" and torch.equal(after, same)
    assert_same(list(native.losses), list(eager.losses), 1e-5)
    assert_same(found, parameters, 1e-4)
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert {own["state"][0]["step"].item() for own in state.values()} == {120.0}


def test_an_eager_step_goes_on_where_a_native_run_ended(wide):
    case = (schools, AutoNormal, Trace_ELBO, lambda: optim.ClippedAdam({"lr": 0.02, "lrd": 0.99}), EFFECT.double())
    losses = []
    for engine in ("eager", "auto"):
        *_, svi = fitted(engine, *case)
        pyro.set_rng_seed(9)
        with settings.context(svi_engine="eager"):
            losses.append([svi.step(EFFECT.double()) for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)


def test_runs_of_one_svi_build_once(wide, monkeypatch):
    built = []
    original = "pyroxene.infer.native_svi.engine.NativeProgram.__init__"
    from pyroxene.compiler.engines.native.program import NativeProgram

    init = NativeProgram.__init__
    monkeypatch.setattr(
        original.rpartition(".")[0] + ".__init__", lambda self, graph: built.append(1) or init(self, graph)
    )
    *_, svi = fitted("auto", schools, AutoNormal, Trace_ELBO, lambda: optim.Adam({"lr": 0.02}), EFFECT)
    svi.run(200, EFFECT, progress=False)
    assert svi.run(200, EFFECT, progress=False).engine == "native" and len(built) == 1
    assert svi.run(200, EFFECT * 2, progress=False).engine == "native" and len(built) == 2
    assert svi.run(200, EFFECT * 3, progress=False).engine == "native" and len(built) == 2


def test_other_data_give_other_losses(wide):
    *_, svi = fitted("auto", schools, AutoNormal, Trace_ELBO, lambda: optim.SGD({"lr": 0.0}), EFFECT.double())
    for scale in (1.0, 3.0, 5.0):
        pyro.set_rng_seed(1)
        found = svi.run(100, EFFECT.double() * scale, progress=False).losses
        pyro.set_rng_seed(1)
        with settings.context(svi_engine="eager"):
            expected = svi.run(100, EFFECT.double() * scale, progress=False).losses
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_an_interrupt_leaves_what_was_made(monkeypatch):
    calls = []

    def interrupt(steps, loss):
        calls.append(steps)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("pyroxene.infer.svi._ignore", interrupt)
    result, parameters, state, _, svi = fitted(
        "auto", schools, AutoNormal, Trace_ELBO, lambda: optim.Adam({"lr": 0.02}), EFFECT, steps=10**6
    )
    steps = sum(calls)
    assert result.interrupted and result.engine == "native" and len(result.losses) == steps < 10**6
    assert state["AutoNormal.locs.mu"]["state"][0]["step"] == steps
    assert_same(dict(result.params), parameters, 0.0)
    assert math.isfinite(svi.step(EFFECT))


def test_a_bar_counts_native_steps(capsys):
    pyro.set_rng_seed(0)
    result = SVI(schools, AutoNormal(schools), optim.Adam({"lr": 0.02}), Trace_ELBO()).run(150, EFFECT)
    assert result.engine == "native"
    assert "150/150" in capsys.readouterr().err


def test_a_loss_that_becomes_nan_is_explained():
    def model(y):
        loc = pyro.param("loc", torch.tensor(0.0))
        pyro.sample("y", dist.Normal(loc, 1.0, validate_args=False), obs=y)

    svi = SVI(model, nothing, optim.SGD({"lr": 1e3}), Trace_ELBO())
    with settings.context(validate_distributions_torch=False), pytest.warns(UserWarning, match="site 'y' of the model"):
        result = svi.run(400, torch.tensor(1.0), progress=False)
    assert result.engine == "native" and result.losses[-1].isnan()
