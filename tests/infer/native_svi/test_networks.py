"""Programs with networks: the same numbers on machine code, and the engine that is faster, whichever that is."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from torch import nn

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import optim, settings
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.infer.autoguide import AutoDelta, AutoNormal
from pyroxene.infer.native_svi.contest import Contest
from pyroxene.infer.native_svi.engine import NativeSteps
from pyroxene.nn import PyroModule, PyroSample

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))


class Keeps(nn.Module):
    """Remembers what it saw last."""

    def __init__(self):
        super().__init__()
        self.last = torch.zeros(12, 3)

    def forward(self, x):
        self.last = x + 0.0
        return x


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def layers(inner=None):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 8), inner or nn.Tanh(), nn.Linear(8, 2))


def amortised(inner=None, outer=nn.Identity):
    """An encoder and a decoder, registered by `module`."""
    encoder, decoder = layers(inner), nn.Sequential(nn.Linear(1, 3), outer())

    def model(x):
        pyro.module("decoder", decoder)
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), 1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(decoder(z), 0.5).to_event(1), obs=x)

    def guide(x):
        pyro.module("encoder", encoder)
        with pyro.plate("rows", len(x)):
            loc, log_scale = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    return model, guide


class Regression(PyroModule):
    """A plain network as a child, random weights in another; both are read as attributes."""

    def __init__(self):
        super().__init__()
        self.features = layers()
        self.top = PyroModule[nn.Linear](2, 1)
        self.top.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))

    def forward(self, x):
        mean = self.top(self.features(x)).squeeze(-1)
        with pyro.plate("rows", len(x)):
            pyro.sample("y", dist.Normal(mean, 0.5), obs=x.sum(-1))


def bayesian():
    model = Regression()
    return model, AutoNormal(model)


def recurrent():
    torch.manual_seed(3)
    cell, out = nn.GRUCell(1, 4), nn.Linear(4, 1)

    def model(x):
        pyro.module("cell", cell), pyro.module("out", out)
        state = torch.zeros(len(x), 4)
        for t in range(3):
            state = cell(x[:, t : t + 1], state)
        with pyro.plate("rows", len(x)):
            pyro.sample("y", dist.Normal(out(state).squeeze(-1), 1.0), obs=x.sum(-1))

    return model, AutoDelta(model)


def own_function():
    return weighted(Double.apply)


def scripted():
    return weighted(torch.jit.script(square))


def square(x):
    return x * x


def weighted(function):
    weight = nn.Parameter(torch.ones(3))

    def model(x):
        pyro.param("weight", weight)
        with pyro.plate("rows", len(x)):
            pyro.sample("y", dist.Normal((x * function(weight)).sum(-1), 1.0), obs=x.sum(-1))

    return model, AutoDelta(model)


@pytest.fixture(autouse=True)
def wide():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(program):
    pyro.clear_param_store()
    pyro.set_rng_seed(4)
    model, guide = program()
    return SVI(model, guide, optim.Adam({"lr": 0.02}), Trace_ELBO())


def fitted(engine, program, steps=120):
    """Return a run's result, and all that it left behind."""
    with settings.context(svi_engine=engine):
        svi = make(program)
        result = svi.run(steps, X.double(), progress=False)
    parameters = {name: value.detach().clone() for name, value in pyro.get_param_store().items()}
    modules = [m for m in (svi.model, svi.guide) if isinstance(m, nn.Module)]
    for function in (svi.model, svi.guide):
        cells = getattr(function, "__closure__", None) or ()
        modules += [cell.cell_contents for cell in cells if isinstance(cell.cell_contents, nn.Module)]
    buffers = [buffer.clone() for module in modules for buffer in module.buffers()]
    return result, parameters, buffers, torch.rand(2)


def assert_same(one, other):
    first, *left = one
    second, *right = other
    torch.testing.assert_close(first.losses, second.losses, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def cost(monkeypatch, **seconds):
    """Let steps take what a test says."""
    took = Contest.took
    monkeypatch.setattr(Contest, "took", lambda self, engine, _, steps=1: took(self, engine, seconds[engine], steps))


@pytest.fixture
def builds(monkeypatch):
    """The shapes that native steps were built for."""
    made = []
    init = NativeSteps.__init__

    def counted(self, elbo, model, guide, optimiser, arguments, *rest):
        made.append(tuple(arguments.tensors[0].shape))
        init(self, elbo, model, guide, optimiser, arguments, *rest)

    monkeypatch.setattr(NativeSteps, "__init__", counted)
    return made


@pytest.mark.parametrize("program", [amortised, bayesian, recurrent])
def test_a_network_on_machine_code_is_the_eager_one(program):
    native = fitted("native", program)
    assert (native[0].engine, native[0].reason) == ("native", "")
    assert_same(fitted("eager", program), native)


def test_the_faster_engine_is_chosen_in_a_run(monkeypatch, caplog, builds):
    cost(monkeypatch, eager=0.1, native=0.01)
    with caplog.at_level(logging.INFO, logger="pyroxene"):
        found = fitted("auto", amortised)
    assert found[0].engine == "native" and builds == [(12, 3)]
    assert found[0].reason == "a step took 10 ms on native, and 100 ms on eager"
    assert f"SVI steps on native: {found[0].reason}" in caplog.text
    assert_same(fitted("eager", amortised), found)


def test_the_slower_engine_is_tried_once(monkeypatch, builds):
    cost(monkeypatch, eager=0.1, native=0.2)
    found = fitted("auto", amortised, steps=200)
    assert found[0].engine == "eager" and builds == [(12, 3)]
    assert "a step took 200 ms on native, and 100 ms on eager; inductor: building it takes" in found[0].reason
    assert_same(fitted("eager", amortised, steps=200), found)


def test_a_short_run_does_not_pay_for_a_build(monkeypatch, builds):
    cost(monkeypatch, eager=0.001, native=0.0001)
    result, *_ = fitted("auto", amortised, steps=200)
    assert result.engine == "eager" and "too long for the steps to come" in result.reason and not builds


def test_single_steps_turn_native_once_they_have_cost_enough(monkeypatch, builds):
    cost(monkeypatch, eager=0.1, native=0.01)
    svi = make(amortised)
    for _ in range(13):
        svi.step(X.double())
    assert builds == []
    for _ in range(20):
        svi.step(X.double())
    assert builds == [(12, 3)] and svi._engines().engine == "native"


def test_a_smaller_last_batch_is_not_built_for_again(monkeypatch, builds):
    cost(monkeypatch, eager=0.1, native=0.01)

    def losses(engine):
        generator = torch.Generator().manual_seed(1)
        with settings.context(svi_engine=engine):
            svi = make(amortised)
            rows = [12, 12, 12, 12, 5] * 12
            return [svi.step(torch.randn(n, 3, generator=generator, dtype=torch.float64)) for n in rows]

    assert losses("auto") == pytest.approx(losses("eager"), rel=1e-9)
    assert builds == [(12, 3), (5, 3)]  # each once, when its own steps have paid for it


def test_a_program_that_changes_all_the_time_is_not_built_for_ever(monkeypatch, builds):
    cost(monkeypatch, eager=5.0, native=0.01)
    beta = 1.0

    def annealed():
        model, guide = amortised()

        def scaled(x):
            with pyro.poutine.scale(scale=beta):
                model(x)

        return scaled, guide

    svi = make(annealed)
    svi._engines()._costs["inductor"] = 1e9
    for _ in range(150):
        svi.step(X.double())
        beta *= 0.99
    assert len(builds) == 8 and "changes from step to step" in svi._engines().reason


@pytest.mark.parametrize("engine", ["native", "inductor"])
@pytest.mark.parametrize("inner", [lambda: nn.BatchNorm1d(8), lambda: nn.Sequential(nn.Tanh(), Keeps())])
def test_what_a_module_updates_is_updated_by_eager_steps(engine, inner):
    def program():
        return amortised(inner())

    found = fitted(engine, program)
    assert found[0].engine == "eager"
    assert "older than the" in found[0].reason or "updates what it keeps" in found[0].reason
    assert_same(fitted("eager", program), found)


def test_moments_that_stand_still_are_constants():
    def program():
        return amortised(nn.BatchNorm1d(8).eval())

    found = fitted("native", program)
    assert found[0].engine == "native"
    assert_same(fitted("eager", program), found)


def test_dropout_has_no_machine_code():
    result, *_ = fitted("native", lambda: amortised(nn.Dropout(0.5)))
    assert result.engine == "eager" and "bernoulli" in result.reason


def test_a_switch_to_evaluation_is_noticed():
    def losses(engine):
        network = layers(nn.BatchNorm1d(8).eval())
        model, _ = amortised()

        def guide(x):
            pyro.module("encoder", network)
            with pyro.plate("rows", len(x)):
                loc, log_scale = network(x).chunk(2, -1)
                pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

        with settings.context(svi_engine=engine):
            svi = make(lambda: (model, guide))
            found = [svi.step(X.double()) for _ in range(6)]
            network[1].train()
            found += [svi.step(X.double()) for _ in range(3)]
            network[1].eval()
            return found + [svi.step(X.double()) for _ in range(3)], network[1].running_mean

    torch.testing.assert_close(losses("native"), losses("eager"), rtol=1e-9, atol=1e-9)


def test_frozen_weights_that_are_loaded_are_noticed():
    def losses(engine):
        _, guide = amortised()
        decoder = nn.Linear(1, 3).requires_grad_(False)
        state = copy.deepcopy(decoder.state_dict())

        def frozen(x):
            pyro.module("decoder", decoder)
            with pyro.plate("rows", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), 1), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(decoder(z), 0.5).to_event(1), obs=x)

        with settings.context(svi_engine=engine):
            svi = make(lambda: (frozen, guide))
            found = [svi.step(X.double()) for _ in range(6)]
            decoder.load_state_dict({name: 3.0 * value for name, value in state.items()})
            return found + [svi.step(X.double()) for _ in range(6)]

    torch.manual_seed(8)
    native = losses("native")
    torch.manual_seed(8)
    assert native == pytest.approx(losses("eager"), rel=1e-9)


@pytest.mark.parametrize("program, reason", [(own_function, "differs from eager"), (scripted, "TorchScript")])
def test_a_parameter_that_goes_past_torch_s_functions_stays_eager(program, reason):
    result, *_ = fitted("native", program)
    assert result.engine == "eager" and reason in result.reason


def test_a_network_that_reads_numbers_stays_eager():
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    result, *_ = fitted("inductor", lambda: amortised(Branches()))
    assert result.engine == "eager" and "inductor: a step cannot be recorded" in result.reason


def test_no_torch_compile_is_no_obstacle(monkeypatch):
    def absent(*args, **kwargs):
        def fail(*inputs):
            raise RuntimeError("no C++ compiler\nand more")

        return fail

    monkeypatch.setattr(torch, "compile", absent)
    found = fitted("inductor", amortised)
    assert found[0].engine == "eager" and found[0].reason.startswith(
        "inductor: torch.compile failed, RuntimeError: no C++"
    )
    assert_same(fitted("eager", amortised), found)
