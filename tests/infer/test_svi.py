"""SVI: steps, losses of every kind, long runs, and interruptions."""

from __future__ import annotations

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.errors import UsageError
from pyroxene.infer import SVI, SVIResult, Trace_ELBO, TraceMeanField_ELBO
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
    assert all(leaf.grad is None or not leaf.grad.any() for _, leaf in pyro.get_param_store().named_parameters())


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


def test_a_subsample_is_drawn_once_under_a_loss_function_too():
    seen = []

    def subsampled():
        with pyro.plate("p", 10, subsample_size=3) as index:
            seen.append(index)
            pyro.sample("z", dist.Normal(pyro.param("m", torch.zeros(())), 1.0), obs=torch.zeros(3))

    def loss(model, guide):
        return -sum(pyro.poutine.trace(model).get_trace().log_prob_sum() for _ in range(2))

    SVI(subsampled, lambda: None, Adam({"lr": 0.1}), loss).step()
    assert torch.equal(seen[0], seen[1])


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


def test_what_it_refuses():
    with pytest.raises(UsageError, match="optimiser of pyroxene.optim"):
        SVI(model, guide, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1), Trace_ELBO())
    with pytest.raises(UsageError, match="takes a loss"):
        SVI(model, guide, Adam({"lr": 0.1}), "elbo")
    with pytest.raises(UsageError, match="no such options"):
        SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO(), nonsense=1)
    with pytest.raises(UsageError, match="num_steps"):
        SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO()).run(0, Y)
