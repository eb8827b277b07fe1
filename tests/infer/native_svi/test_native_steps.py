"""`svi.step` in a Python loop: native after three calls of equal structure, and eager again where something changed."""

from __future__ import annotations

import copy
import logging
import pickle

import numpy as np
import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import optim, poutine, settings
from pyroxene.distributions.testing.fakes import NonreparameterizedNormal
from pyroxene.errors import CompilerError, SupportError
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.infer.arguments import Span
from pyroxene.infer.autoguide import AutoDelta, AutoNormal

FACTOR = 1.0
OPTIONS = {"shift": 0.0}
Y = torch.tensor([1.0, 2.0, 4.0])
RUNS = []


def model(y, scale=1.0):
    RUNS.append(1)
    mu = pyro.sample("mu", dist.Normal(0.0, 3.0))
    with pyro.plate("data", len(y)):
        pyro.sample("y", dist.Normal(mu * FACTOR + OPTIONS["shift"], scale), obs=y)


def make(model=model, optimiser=None, guide=AutoNormal, elbo=None):
    pyro.clear_param_store()
    pyro.set_rng_seed(2)
    return SVI(model, guide(model), optimiser or optim.Adam({"lr": 0.05}), elbo or Trace_ELBO())


def is_native(svi, *args, **kwargs):
    """Take a step; say whether it ran the model."""
    before = len(RUNS)
    svi.step(*args, **kwargs)
    return len(RUNS) == before


def both(program, **kwargs):
    """Run a program on eager steps and on native ones; return what it returned on each."""
    found = []
    for engine in ("eager", "auto"):
        with settings.context(svi_engine=engine):
            found.append(program(make(**kwargs)))
    return found


def assert_close(eager, native, tolerance=1e-4):
    for one, other in zip(eager, native, strict=True):
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance)


def test_the_fourth_call_is_native_and_all_are_what_eager_s_are():
    svi = make()
    assert [is_native(svi, Y) for _ in range(6)] == [False, False, False, True, True, True]
    assert_close(*both(lambda svi: [svi.step(Y) for _ in range(30)]))


def test_parameters_and_optimiser_are_true_after_each_call():
    def program(svi):
        seen = []
        for _ in range(8):
            svi.step(Y)
            seen += [pyro.param("AutoNormal.locs.mu").item(), pyro.param("AutoNormal.scales.mu").item()]
            state = svi.optim.get_state()["AutoNormal.locs.mu"]["state"][0]
            seen += [state["exp_avg"].item(), state["exp_avg_sq"].item(), float(state["step"])]
        return seen

    assert_close(*both(program))


def test_new_tensors_of_the_same_shape_are_data():
    def program(svi):
        generator = torch.Generator().manual_seed(1)
        return [svi.step(torch.randn(3, generator=generator)) for _ in range(20)]

    assert_close(*both(program))
    svi = make()
    native = [is_native(svi, torch.randn(3)) for _ in range(6)]
    assert native == [False, False, False, True, True, True]


def test_a_tensor_that_is_filled_anew_is_data():
    def program(svi):
        y = torch.zeros(3)
        losses = []
        for k in range(12):
            if k > 5:
                y.fill_(float(k))
            losses.append(svi.step(y))
        return losses

    assert_close(*both(program))


def test_a_smaller_last_batch_has_steps_of_its_own():
    def program(svi):
        data = torch.arange(8.0)
        return [svi.step(data[i : i + 3]) for _ in range(6) for i in (0, 3, 6)]

    assert_close(*both(program))


def test_integers_and_booleans_are_data():
    def groups(y, index, chosen):
        RUNS.append(1)
        alpha = pyro.sample("alpha", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        with pyro.plate("data", len(y)), poutine.mask(mask=chosen):
            pyro.sample("y", dist.Normal(alpha[index], 1.0), obs=y)

    def program(svi):
        generator = torch.Generator().manual_seed(1)
        losses = []
        for _ in range(12):
            index = torch.randint(3, (5,), generator=generator)
            losses.append(svi.step(torch.randn(5, generator=generator), index, index > 0))
        return losses

    assert_close(*both(program, model=groups))
    svi = make(groups)
    assert [is_native(svi, torch.ones(5), torch.randint(3, (5,)), torch.ones(5) > 0) for _ in range(5)][3:] == [
        True,
        True,
    ]


def test_a_mask_that_is_an_argument_chooses_anew_at_each_step():
    def masked(y, mask):
        RUNS.append(1)
        mu = pyro.sample("mu", dist.Normal(torch.zeros(3), 3.0).to_event(1))
        pyro.factor("seen", dist.Normal(mu[mask], 1.0).log_prob(y[mask]).sum())

    masks = [torch.tensor([True, True, False]), torch.tensor([False, True, True]), torch.tensor([False, True, False])]
    svi = make(masked)
    assert [is_native(svi, Y, masks[0]) for _ in range(5)] == [False, False, False, True, True]

    def program(svi):
        return [svi.step(Y, masks[k // 5 % 3]) for k in range(25)]

    assert_close(*both(program, model=masked))


def test_other_numbers_among_the_arguments_are_another_structure():
    svi = make()
    for _ in range(4):
        svi.step(Y, scale=1.0)
    assert is_native(svi, Y, scale=1.0) and not is_native(svi, Y, scale=2.0)
    assert_close(*both(lambda svi: [svi.step(Y, scale=1.0 + k // 5) for k in range(20)]))


def test_arrays_of_numpy_keep_steps_eager():
    """One that is filled anew leaves no trace."""

    def of_array(y):
        RUNS.append(1)
        mu = pyro.sample("mu", dist.Normal(0.0, 3.0))
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(mu, 1.0), obs=torch.as_tensor(y))

    svi, y = make(of_array), np.ones(3, dtype=np.float32)
    assert not any(is_native(svi, y) for _ in range(6))


@pytest.mark.parametrize("name", ["FACTOR", "shift"])
def test_a_global_that_changes_is_noticed(name, monkeypatch):
    def program(svi):
        losses = []
        for k in range(14):
            value = 1.0 + k // 6
            if name == "FACTOR":
                monkeypatch.setitem(globals(), "FACTOR", value)
            else:
                monkeypatch.setitem(OPTIONS, "shift", value)
            losses.append(svi.step(Y))
        return losses

    assert_close(*both(program))


def test_a_closure_and_an_attribute_that_change_are_noticed():
    class Model:
        def __init__(self):
            self.scale = 1.0

        def __call__(self, y):
            return model(y, self.scale)

    def program(make_svi):
        owner = Model()
        svi = make(owner)
        losses = []
        for k in range(14):
            owner.scale = 1.0 + k // 6
            losses.append(svi.step(Y))
        beta = 1.0

        def annealed(y):
            with poutine.scale(scale=beta):
                model(y)

        svi = make(annealed)
        for k in range(14):
            beta = 1.0 + k // 6
            losses.append(svi.step(Y))
        return losses

    assert_close(*both(program))


def test_numbers_deep_inside_of_objects_are_noticed():
    class Settings:
        beta = 1.0

        def __init__(self):
            self.inner = {"scales": [1.0, 2.0]}

    class Model:
        def __init__(self):
            self.settings = Settings()
            self.runs = 0

        def __call__(self, y):
            self.runs += 1
            model(y, self.settings.inner["scales"][0])

    def program(_):
        owner = Model()
        svi = make(owner)
        losses = []
        for k in range(14):
            owner.settings.inner["scales"][0] = 1.0 + k // 6
            losses.append(svi.step(Y))
        return losses

    assert_close(*both(program))
    svi = make(Model())
    assert [is_native(svi, Y) for _ in range(5)] == [False, False, False, True, True]


def test_values_that_no_eager_step_checked_are_checked():
    def counts(y):
        RUNS.append(1)
        rate = pyro.sample("mu", dist.Gamma(2.0, 1.0))
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Poisson(rate), obs=y)

    svi = make(counts)
    draws = [torch.tensor(y) for y in ([0.0, 9.0], [1.0, 2.0], [3.0, 0.0], [5.0, 6.0], [2.0, 8.0])]
    assert [is_native(svi, y) for y in draws] == [False, False, False, True, True]
    assert not is_native(svi, torch.tensor([1.0, 10.0])) and is_native(svi, torch.tensor([10.0, 3.0]))
    for wrong in ([1.5, 2.0], [-1.0, 2.0], [float("nan"), 2.0]):
        with pytest.raises(SupportError):
            svi.step(torch.tensor(wrong))
    assert is_native(svi, torch.tensor([1.0, 4.0]))


@pytest.mark.parametrize(
    "seen, new, fine",
    [
        ((-1.5, 2.5, False), (-7.0, 9.5, False), True),
        ((-1.5, 2.5, False), (-7.0, float("inf"), False), False),
        ((-1.5, 0.5, False), (-7.0, 0.7, False), False),
        ((0.1, 0.9, False), (0.01, 0.8, False), True),
        ((0.1, 0.9, False), (0.1, 1.2, False), False),
        ((0.1, 7.9, False), (0.01, 90.5, False), True),
        ((0.1, 7.9, False), (0.0, 2.0, False), False),
        ((0.1, 7.9, False), (-0.1, 2.0, False), False),
        ((0.0, 5.0, True), (1.0, 5.0, True), True),
        ((0.0, 5.0, True), (1.0, 6.0, True), False),
        ((0.0, 5.0, True), (1.0, 4.5, False), False),
        ((0.5, 5.0, False), (1.0, 4.0, True), True),
        ((0.5, 5.0, False), (float("nan"), float("nan"), False), False),
    ],
)
def test_a_span_holds_numbers_of_the_same_support(seen, new, fine):
    assert Span(*seen).holds(Span(*new)) == fine


def test_a_frozen_parameter_stays():
    svi = make()
    for _ in range(5):
        svi.step(Y)
    leaf = pyro.param("AutoNormal.locs.mu").unconstrained()
    leaf.requires_grad_(False)
    before = len(RUNS)
    svi.step(Y)
    assert len(RUNS) > before


def test_what_the_user_writes_to_the_store_holds():
    def program(svi):
        losses = []
        for k in range(16):
            if k == 6:
                pyro.get_param_store()["AutoNormal.scales.mu"] = torch.tensor(0.5)
            if k == 9:
                with torch.no_grad():
                    pyro.param("AutoNormal.locs.mu").unconstrained().fill_(2.0)
            if k == 12:
                leaf = pyro.param("AutoNormal.locs.mu").unconstrained()
                leaf.data = torch.tensor(-1.0)
            losses.append(svi.step(Y))
        return losses

    assert_close(*both(program))


def test_a_store_that_is_cleared_is_filled_again():
    def hand(model):
        def guide(y):
            pyro.sample("mu", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 1.0))

        return guide

    def program(svi):
        losses = []
        for k in range(16):
            if k == 8:
                pyro.clear_param_store()
            losses.append(svi.step(Y))
        return [*losses, pyro.param("loc").item()]

    assert_close(*both(program, guide=hand))


def test_a_learning_rate_that_a_schedule_lowers_holds():
    def program(svi):
        losses = []
        for _ in range(16):
            losses.append(svi.step(Y))
            svi.optim.step()
        return [*losses, pyro.param("AutoNormal.locs.mu").item()]

    options = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.02}, "gamma": 0.7}
    found = []
    for engine in ("eager", "auto"):
        with settings.context(svi_engine=engine):
            found.append(program(make(optimiser=optim.ExponentialLR(options))))
    assert_close(*found)


def test_an_optimiser_s_state_that_is_set_holds():
    def program(svi):
        losses = []
        for k in range(16):
            if k == 5:
                saved = svi.optim.get_state()
            if k == 10:
                svi.optim.set_state(saved)
            losses.append(svi.step(Y))
        return [*losses, pyro.param("AutoNormal.locs.mu").item()]

    assert_close(*both(program))


def test_a_hook_on_a_parameter_is_called():
    norms = []
    svi = make()
    for _ in range(5):
        svi.step(Y)
    assert is_native(svi, Y)
    for _, leaf in pyro.get_param_store().named_parameters():
        leaf.register_hook(lambda gradient: norms.append(gradient.norm().item()))
    svi.step(Y)
    assert len(norms) == 2
    for _ in range(6):
        svi.step(Y)
    assert len(norms) == 14


def test_handlers_around_a_step_keep_it_eager():
    svi = make()
    for _ in range(5):
        svi.step(Y)
    assert is_native(svi, Y)
    with poutine.block():
        assert not is_native(svi, Y)
    assert is_native(svi, Y)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("score function", "needs the score function"),
        ("poisson", "poisson draws"),
        ("branch", "a branch, or a number"),
        ("counter", "differs from eager"),
        ("numpy", "differs from eager"),
    ],
)
def test_what_has_no_native_form_runs_on_eager_and_says_why(name, reason, caplog):
    calls = []

    def special(y):
        calls.append(1)
        mu = pyro.sample("mu", dist.Normal(0.0, 3.0))
        if name == "branch" and mu > 100.0:
            mu = mu * 0.0
        if name == "counter":
            mu = mu + len(calls)
        if name == "numpy":
            mu = mu + np.random.rand()
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    def hand(model):
        def guide(y):
            loc = pyro.param("loc", torch.tensor(1.0))
            if name == "poisson":
                loc = pyro.sample("count", dist.Poisson(loc.exp()), infer={"is_auxiliary": True})
            pyro.sample("mu", dist.Normal(loc, 1.0) if name == "poisson" else NonreparameterizedNormal(loc, 1.0))

        return guide

    svi = make(special, guide=hand if name in ("score function", "poisson") else AutoNormal)
    with caplog.at_level(logging.INFO, logger="pyroxene"):
        result = svi.run(101, Y, progress=False)
    assert result.engine == "eager" and reason in result.reason and len(result.losses) == 101
    assert "\n" not in result.reason and "Trace Shapes" not in result.reason
    assert sum("SVI steps on eager" in record.message for record in caplog.records) == 1


def test_no_compiler_is_no_obstacle(monkeypatch):
    def absent(*args):
        raise CompilerError("this machine has no C compiler")

    monkeypatch.setattr("pyroxene.infer.native_svi.engine.NativeProgram", absent)
    svi = make()
    result = svi.run(120, Y, progress=False)
    assert result.engine == "eager" and "no C compiler" in result.reason
    assert not is_native(svi, Y)


def test_a_fault_of_the_recorder_s_is_no_obstacle(monkeypatch, caplog):
    def broken(*args):
        raise KeyError("aten.surprise")

    monkeypatch.setattr("pyroxene.infer.native_svi.engine.noisy_gradient_graph", broken)
    result = make().run(120, Y, progress=False)
    assert result.engine == "eager" and "aten.surprise" in result.reason
    assert "a fault of pyroxene's" in caplog.text


def test_losses_of_one_s_own_stay_eager():
    def loss(model, guide, *args):
        return Trace_ELBO().differentiable_loss(model, guide, *args)

    svi = SVI(model, AutoDelta(model), optim.Adam({"lr": 0.05}), loss)
    assert not any(is_native(svi, Y) for _ in range(6))
    assert "no ELBO" in svi.run(120, Y, progress=False).reason


def test_an_svi_is_copied_without_its_machine_code():
    svi = make()
    for _ in range(5):
        svi.step(Y)
    twin = copy.deepcopy(svi)
    assert [is_native(twin, Y) for _ in range(5)] == [False, False, False, True, True]
    assert pickle.loads(pickle.dumps(svi)).step(Y) == pytest.approx(svi.step(Y), abs=100)


def test_two_svis_may_take_turns():
    def program(first):
        second = SVI(model, first.guide, first.optim, Trace_ELBO(num_particles=2))
        return [svi.step(Y) for _ in range(8) for svi in (first, second)]

    assert_close(*both(program))


def test_a_numpy_array_changed_in_place_is_noticed():
    """The model reads it anew at each run; a recording has it as a constant."""
    offsets = np.zeros(3)

    def model(y):
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 3):
            pyro.sample("y", dist.Normal(mean + torch.from_numpy(offsets.copy()).float(), 1.0), obs=y)

    svi = SVI(model, AutoNormal(model), optim.Adam({"lr": 0.01}), Trace_ELBO())
    for _ in range(6):
        svi.step(Y)
    before = svi.evaluate_loss(Y)
    offsets += 100.0
    assert svi.step(Y) > before + 1000
