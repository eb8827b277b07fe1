"""MCMC over machine code: the same interface, threads, hooks, saving, Ctrl-C."""

from __future__ import annotations

import _thread
import pickle
import shutil
import signal
import threading

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.infer import HMC, MCMC, NUTS
from pyroxene.infer.autoguide import init_to_value
from tests.infer.mcmc.programs import EFFECTS, conjugate, eight_schools, silent

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler on the path"
)


def drawn(mcmc, *args, seed=4):
    pyroxene.set_rng_seed(seed)
    mcmc.run(*args)
    return mcmc.get_samples(group_by_chain=True)


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def make(**options):
    return silent(NUTS(eight_schools, engine="native"), 50, 40, num_chains=3, **options)


def test_draws_depend_on_the_seed_alone():
    first = drawn(make(num_threads=1), EFFECTS)
    assert equal(first, drawn(make(num_threads=3), EFFECTS))
    assert equal(first, drawn(make(chain_method="sequential"), EFFECTS))
    assert not equal(first, drawn(make(), EFFECTS, seed=5))


def test_a_hook_changes_no_draw():
    seen = []
    hooked = drawn(make(hook_fn=lambda kernel, params, stage, number: seen.append(stage)), EFFECTS)
    assert equal(hooked, drawn(make(), EFFECTS)) and len(seen) == 270


def test_a_potential_becomes_machine_code():
    def potential(params):
        return 0.5 * (params["x"] - params["mean"]).square().sum() + 0.5 * params["mean"] ** 2

    starts = {"mean": torch.ones(2), "x": torch.ones(2, 3)}
    mcmc = silent(NUTS(potential_fn=potential, engine="native"), 500, 200, num_chains=2, initial_params=starts)
    draws = drawn(mcmc)
    assert draws["x"].shape == (2, 500, 3) and draws["mean"].shape == (2, 500)
    assert draws["x"].var().item() == pytest.approx(2, abs=0.6)  # over six standard errors of 2 sqrt(2 / 500)


def test_saving_and_pickling():
    mcmc = make()
    drawn(mcmc, EFFECTS)
    copy = pickle.loads(pickle.dumps(mcmc))
    other = make()
    other.load_state_dict(mcmc.state_dict())
    mcmc.run_more(10)
    for resumed in (copy, other):
        resumed.run_more(10, EFFECTS)
        assert equal(resumed.get_samples(), mcmc.get_samples())


@pytest.mark.parametrize("kernel", [NUTS, HMC])
def test_the_posterior_is_right(kernel):
    # 4 x 1000 draws, of which over 1000 count: 0.06 is over six standard errors of 0.32 / sqrt(1000)
    mcmc = silent(kernel(conjugate, engine="native"), 1000, 300, num_chains=4)
    draws = drawn(mcmc, torch.full((9,), 2.0))["mu"]
    assert draws.mean().item() == pytest.approx(1.8, abs=0.06) and draws.std().item() == pytest.approx(
        10**-0.5, abs=0.06
    )


def test_the_engines_draw_alike_from_one_seed():
    # trajectories are chaotic, so that only the first few draws of a short step size agree
    found = [
        drawn(silent(NUTS(eight_schools, engine=engine, step_size=0.05, adapt_step_size=False), 3, 0), EFFECTS)
        for engine in ("native", "eager")
    ]
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-4)


@pytest.fixture
def interruptible():
    """A shell lets its background jobs ignore Ctrl-C; then Python does as well."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_returns_the_draws_so_far(interruptible):
    mcmc = MCMC(NUTS(eight_schools, engine="native"), 1_000_000, 100, num_chains=2, disable_progbar=True)
    mcmc.warmup(EFFECTS)
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    mcmc.run(EFFECTS)
    timer.join()
    assert mcmc.interrupted
    draws = mcmc.get_samples(group_by_chain=True)["theta"]
    assert 0 < draws.shape[1] < 1_000_000 and bool(draws.isfinite().all())


def volatility(y):
    width = pyroxene.sample("width", dist.Exponential(10.0))
    with pyroxene.plate("steps", len(y)):
        z = pyroxene.sample("z", dist.Normal(0.0, 1.0))
    with pyroxene.plate("days", len(y)):
        pyroxene.sample("y", dist.Normal(0.0, torch.exp(0.5 * torch.cumsum(width * z, 0))), obs=y)


@pytest.mark.filterwarnings("error")
def test_chains_that_start_far_out_come_down():
    """Log densities of -1e35 in 151 dimensions, where the metric is of low rank: no direction may pin a chain."""
    y = torch.randn(150, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start = {"width": torch.tensor(4.0, dtype=torch.float64), "z": torch.full((150,), -0.3, dtype=torch.float64)}
    kernel = NUTS(volatility, init_strategy=init_to_value(values=start), engine="native")
    for seed in range(3):
        mcmc = silent(kernel, 50, 300, num_chains=1)
        drawn(mcmc, y, seed=seed)
        assert mcmc.get_extra_fields()["step_size"][-1] > 1e-3
