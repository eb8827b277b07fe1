"""SVI: steps, losses of every kind, long runs, and interruptions."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import nn, settings
from pyroxene.distributions import constraints
from pyroxene.errors import UsageError
from pyroxene.infer import SVI, SVIResult, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from pyroxene.infer.autoguide import AutoNormal
from pyroxene.optim import SGD, Adam, ClippedAdam

Y = torch.tensor([1.0, 2.0, 3.0])


def model(y=Y):
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(y)):
        pyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def guide(y=Y):
    loc = pyro.param("loc", torch.zeros(()))
    pyro.sample("mu", dist.Delta(loc))


def test_a_step_returns_a_float_and_moves_the_parameters():
    svi = SVI(model, guide, SGD({"lr": 0.1}), Trace_ELBO())
    loss = svi.step(Y)
    assert isinstance(loss, float)
    # d/dloc of the loss at 0 is -(1 + 2 + 3), so a step of 0.1 goes to 0.6
    assert pyro.param("loc").item() == pytest.approx(0.6)
    assert all(leaf.grad == 0 for _, leaf in pyro.get_param_store().named_parameters())


def test_the_optimiser_gets_each_unconstrained_leaf_once():
    seen = []

    def twice(y=Y):
        scale = pyro.param("scale", torch.tensor(2.0), constraint=constraints.positive)
        assert pyro.param("scale") is not None
        pyro.sample("mu", dist.Normal(pyro.param("loc", torch.zeros(())), scale))

    def optimiser(params):
        seen.append({id(p): (p.is_leaf, p.grad is not None) for p in params})
        assert len(seen[-1]) == len(list(params))

    SVI(model, twice, optimiser, Trace_ELBO()).step(Y)
    leaves = dict(pyro.get_param_store().named_parameters())
    assert seen == [{id(leaves["scale"]): (True, True), id(leaves["loc"]): (True, True)}]
    assert leaves["scale"].item() == pytest.approx(math.log(2.0))


def test_momentum_goes_on_where_a_step_does_not_reach():
    """b is read each time, and used every other time. The values are those of pyro-ppl 1.9.2."""
    calls = []

    def now_and_then():
        calls.append(1)
        a, b = pyro.param("a", torch.tensor(1.0)), pyro.param("b", torch.tensor(1.0))
        pyro.param("never", torch.tensor(1.0))
        pyro.sample("y", dist.Normal(a + b if len(calls) % 2 else a, 1.0), obs=torch.tensor(5.0))

    svi = SVI(now_and_then, lambda: None, Adam({"lr": 0.1}), Trace_ELBO())
    losses = [svi.step() for _ in range(6)]
    assert losses == pytest.approx([5.418939, 8.523939, 4.385704, 7.771255, 3.537176, 7.064522], rel=1e-5)
    found = [pyro.param(name).item() for name in ("a", "b", "never")]
    assert found == pytest.approx([1.592182, 1.455698, 1.0], rel=1e-5)


def test_an_error_in_a_step_leaves_no_gradient_to_the_next():
    calls = []

    def failing(y):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("in the second particle")
        model(y)

    svi = SVI(failing, guide, SGD({"lr": 0.1}), Trace_ELBO(num_particles=2))
    with pytest.raises(RuntimeError, match="second particle"):
        svi.step(Y)
    svi.step(Y)
    assert pyro.param("loc").item() == pytest.approx(0.6)


def test_it_converges_to_the_mode():
    svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO())
    for _ in range(400):
        svi.step(Y)
    assert pyro.param("loc").item() == pytest.approx(6 / 4, abs=1e-3)


def test_evaluate_loss_takes_no_step():
    svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO())
    first = svi.evaluate_loss(Y)
    assert svi.evaluate_loss(Y) == first and pyro.param("loc").item() == 0
    assert pyro.param("loc").grad is None


def test_losses_may_be_functions():
    def loss(model, guide, *args, **kwargs):
        return Trace_ELBO().differentiable_loss(model, guide, *args, **kwargs) * 2

    svi = SVI(model, guide, SGD({"lr": 0.1}), loss)
    plain = Trace_ELBO().loss(model, guide, Y)
    assert svi.evaluate_loss(Y) == pytest.approx(2 * plain)
    assert svi.step(Y) == pytest.approx(2 * plain)
    assert pyro.param("loc").item() == pytest.approx(1.2)

    def loss_and_grads(model, guide, y):
        value = loss(model, guide, y)
        value.backward()
        return value.item(), 7.0

    svi = SVI(model, guide, SGD({"lr": 0.0}), loss, loss_and_grads=loss_and_grads)
    assert svi.step(Y)[1] == 7.0


def test_a_loss_may_be_a_number_or_have_no_gradient():
    for loss in (lambda *args: 3.0, lambda *args: torch.tensor(3.0)):
        svi = SVI(model, guide, Adam({"lr": 0.1}), loss)
        assert svi.step(Y) == 3.0 and svi.evaluate_loss(Y) == 3.0

    def fixed(y):
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=y)

    svi = SVI(fixed, lambda y: None, Adam({"lr": 0.1}), Trace_ELBO())
    expected = -dist.Normal(0.0, 1.0).log_prob(Y).sum().item()
    assert svi.step(Y) == pytest.approx(expected) and len(pyro.get_param_store()) == 0


def test_losses_may_be_tuples():
    def losses(model, guide, y):
        return torch.tensor(1.0), 2.0

    svi = SVI(model, guide, Adam({"lr": 0.1}), losses, loss_and_grads=losses)
    assert svi.step(Y) == (1.0, 2.0) and svi.evaluate_loss(Y) == (1.0, 2.0)
    result = svi.run(3, Y)
    assert result.losses.tolist() == [[1.0, 2.0]] * 3


def test_evaluation_records_no_graph():
    recorded = []

    def loss(model, guide, y):
        value = Trace_ELBO().differentiable_loss(model, guide, y)
        recorded.append(value.requires_grad)
        return value

    svi = SVI(model, guide, Adam({"lr": 0.1}), loss)
    svi.step(Y)
    svi.evaluate_loss(Y)
    assert recorded == [True, False]


def test_a_subsample_is_drawn_once_under_a_loss_function_too():
    seen = []

    def subsampled():
        with pyro.plate("p", 10, subsample_size=3) as index:
            seen.append(index)
            pyro.sample("z", dist.Normal(pyro.param("m", torch.zeros(())), 1.0), obs=torch.zeros(3))

    def loss(model, guide):
        return -sum(pyro.poutine.trace(model).get_trace().log_prob_sum() for _ in range(2))

    svi = SVI(subsampled, lambda: None, Adam({"lr": 0.1}), loss)
    svi.step()
    svi.evaluate_loss()
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[2], seen[3]) and not torch.equal(seen[0], seen[2])


def test_maximum_likelihood_needs_no_latent_site():
    def likelihood(y):
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(pyro.param("m", torch.zeros(())), 1.0), obs=y)

    svi = SVI(likelihood, lambda y: None, Adam({"lr": 0.05}), Trace_ELBO())
    for _ in range(300):
        svi.step(Y)
    assert pyro.param("m").item() == pytest.approx(2.0, abs=1e-3)


def test_parameters_may_appear_later():
    calls = []

    def growing(y):
        calls.append(1)
        mu = pyro.param("a", torch.zeros(()))
        if len(calls) > 2:
            mu = mu + pyro.param("b", torch.zeros(()))
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    svi = SVI(growing, lambda y: None, Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(5):
        svi.step(Y)
    assert pyro.param("b").item() != 0


def test_run_returns_losses_and_parameters(capsys):
    auto = AutoNormal(model)
    result = SVI(model, auto, ClippedAdam({"lr": 0.03}), TraceMeanField_ELBO()).run(60, Y)
    assert isinstance(result, SVIResult) and result.losses.shape == (60,) and not result.interrupted
    assert sorted(result.params) == ["AutoNormal.locs.mu", "AutoNormal.scales.mu"]
    assert torch.equal(result.params["AutoNormal.locs.mu"], pyro.param("AutoNormal.locs.mu").detach())
    assert result.losses[-10:].mean() < result.losses[:10].mean()
    captured = capsys.readouterr()
    assert "60/60" in captured.err and "loss" in captured.err and captured.out == ""


def test_run_is_silent_when_asked(capsys):
    SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO()).run(3, Y, progress=False)
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out == ""


def test_run_equals_steps():
    result = SVI(model, AutoNormal(model), Adam({"lr": 0.1}), Trace_ELBO()).run(5, Y, progress=False)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi = SVI(model, AutoNormal(model), Adam({"lr": 0.1}), Trace_ELBO())
    assert [svi.step(Y) for _ in range(5)] == pytest.approx(result.losses.tolist())


@pytest.mark.parametrize("progress", [False, True])
def test_an_interrupt_ends_a_run_with_what_it_has(progress):
    calls = []

    def interrupted(y):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        model(y)

    result = SVI(interrupted, guide, Adam({"lr": 0.1}), Trace_ELBO()).run(100, Y, progress=progress)
    assert result.interrupted and result.losses.shape == (7,)
    assert result.params["loc"] == pyro.param("loc")
    assert pyro.param("loc").grad == 0 and pyro.poutine.runtime._PYRO_STACK == []


def test_an_interrupted_run_goes_on_as_one_that_was_not():
    calls = []

    def interrupted(y):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        model(y)

    svi = SVI(interrupted, guide, Adam({"lr": 0.1}), Trace_ELBO(num_particles=2))
    first = svi.run(10, Y, progress=False)
    second = svi.run(10, Y, progress=False)
    pyro.clear_param_store()
    whole = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO(num_particles=2)).run(13, Y, progress=False)
    assert len(first.losses) == 3  # the second particle of step 4 was cut off, and its first one forgotten
    assert torch.allclose(torch.cat([first.losses, second.losses]), whole.losses)


def test_what_it_refuses():
    with pytest.raises(UsageError, match="optimiser of pyroxene.optim"):
        SVI(model, guide, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1), Trace_ELBO())
    with pytest.raises(UsageError, match="takes a loss"):
        SVI(model, guide, Adam({"lr": 0.1}), "elbo")
    with pytest.raises(TypeError, match="nonsense"):
        SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO(), nonsense=1)
    with pytest.raises(UsageError, match="num_steps"):
        SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO()).run(0, Y)


@pytest.mark.parametrize("estimator", [Trace_ELBO, TraceMeanField_ELBO, TraceGraph_ELBO])
def test_vectorised_particles_and_networks_train(estimator):
    """The slope of y = 2x is found by a network in the model, whatever the estimator."""
    x = torch.tensor([[1.0], [2.0], [3.0]])

    class Model(nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(1, 1, bias=False)

        def forward(self, x):
            noise = pyro.sample("noise", dist.Normal(0.0, 0.1))
            with pyro.plate("data", 3):
                pyro.sample("y", dist.Normal(self.net(x).squeeze(-1) + 0.0 * noise, 0.5), obs=2 * x.squeeze(-1))

    network = Model()
    svi = SVI(network, AutoNormal(network), Adam({"lr": 0.1}), estimator(num_particles=4, vectorize_particles=True))
    svi.run(100, x, progress=False)
    assert network.net.weight.item() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("local", [False, True])
def test_parameters_of_modules_are_stepped(local):
    class Guide(nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.loc = nn.PyroParam(torch.zeros(()))

        def forward(self, y):
            pyro.sample("mu", dist.Delta(self.loc))

    with settings.context(module_local_params=local):
        module = Guide()
        svi = SVI(model, module, SGD({"lr": 0.1}), Trace_ELBO())
        svi.step(Y)
        assert module.loc.item() == pytest.approx(0.6)
        assert ("loc" in pyro.get_param_store()) is not local


def test_a_loss_that_is_nan_names_its_site():
    def broken(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu * math.nan, 1.0, validate_args=False), obs=torch.tensor(0.0))

    with pytest.warns(UserWarning, match="NaN.*site 'y' of the model"):
        assert math.isnan(SVI(broken, guide, SGD({"lr": 0.0}), Trace_ELBO()).step(Y))


def test_two_runs_in_two_threads_keep_to_their_stores():
    store, found, errors = pyro.get_param_store(), {}, []
    barrier = threading.Barrier(2)

    def fit(target):
        try:
            with store.scope():
                data = torch.full((3,), target)
                svi = SVI(model, guide, SGD({"lr": 0.1}), Trace_ELBO())
                for _ in range(40):
                    barrier.wait(timeout=20)
                    svi.step(data)
                found[target] = pyro.param("loc").item()
        except BaseException as error:  # noqa: BLE001 (the thread hands every error on)
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=fit, args=(target,)) for target in (4.0, -8.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert found[4.0] == pytest.approx(3.0, abs=1e-4) and found[-8.0] == pytest.approx(-6.0, abs=1e-4)
    assert len(store) == 0


def test_a_run_takes_any_whole_number_of_steps_and_keyword_arguments():
    def keyed(*, y):
        model(y)

    def keyed_guide(*, y):
        guide(y)

    svi = SVI(keyed, keyed_guide, SGD({"lr": 0.1}), Trace_ELBO(), num_samples=10, num_steps=7)
    result = svi.run(np.int64(2), y=Y, progress=False)
    assert result.losses.shape == (2,) and result.losses.dtype == torch.float64
    assert (svi.num_samples, svi.num_steps) == (10, 7)
    assert not result.params["loc"].requires_grad
    svi.step(y=Y)
    assert result.params["loc"] != pyro.param("loc")  # a copy
