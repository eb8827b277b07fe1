"""Chains: every way of running them gives the same draws, of the right distribution; they stop, go on, and say why."""

from __future__ import annotations

import io
import math

import numpy
import pytest
import torch

from pyroxene.compiler.engines.native import blas
from pyroxene.errors import CompilerError, UsageError
from pyroxene.infer.mcmc import chains
from pyroxene.infer.mcmc.chains import Monitor, SamplerOptions, continue_chains, make_chains, run_chains
from pyroxene.infer.mcmc.metrics import DENSE, DIAGONAL, FisherMetric
from pyroxene.infer.mcmc.monitor import FINISHED
from tests.infer.mcmc.densities import correlated, funnel, normal

HARD = correlated(5, 0.9, 100.0)


def starts(num_chains: int, dim: int) -> torch.Tensor:
    return torch.rand(num_chains, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 4 - 2


def run(density, options=None, num_chains=3, num_warmup=150, num_draws=50, seed=7, **more):
    return run_chains(
        density, starts(num_chains, density.dim), options or SamplerOptions(),
        num_warmup=num_warmup, num_draws=num_draws, seed=seed, **more,
    )  # fmt: skip


def positions(found) -> torch.Tensor:
    return torch.stack([chain.draws.positions for chain in found])


METHODS = [
    ("threads", 1), ("threads", 2), ("threads", 8), ("sequential", None), ("vectorized", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "threads"), METHODS)
def test_draws_do_not_depend_on_how_chains_run(method, threads):
    density = normal(HARD, native=True)
    expected = positions(run(density, num_threads=3))
    # the batched density is numpy's: it may differ in the last bit, and chains from there on
    native = method != "vectorized"
    reference = expected if native else positions(run(normal(HARD), chain_method="sequential"))
    assert (positions(run(density, num_threads=threads, chain_method=method)) == reference).all()


def test_draws_repeat_by_seed_and_differ_by_seed_and_chain():
    density = normal(HARD, native=True)
    first, again, other = (positions(run(density, seed=seed)) for seed in (7, 7, 8))
    assert (first == again).all() and (first != other).any()
    assert (first[0] != first[1]).any()
    assert (positions(run(density, num_chains=2)) == first[:2]).all()  # a chain does not know how many there are


@pytest.mark.parametrize("metric", ["auto", "fisher", "diagonal", "dense", "low_rank", ("block", [[0, 1, 2]]),
                                    ("arrowhead", 2)])  # fmt: skip
@pytest.mark.parametrize("warmup", ["windows", "stan"])
def test_moments_of_a_badly_scaled_correlated_normal(metric, warmup):
    """Means and variances of four chains worth more than 400 draws each coordinate: six errors fail once in 5e8."""
    options = SamplerOptions(metric=metric, warmup=warmup, max_tree_depth=(8, 10))
    found = run(normal(HARD, native=True), options, 4, 600, 1000)
    draws = positions(found).reshape(-1, 5).numpy()
    deviations = numpy.sqrt(numpy.diag(HARD))
    assert (abs(draws.mean(axis=0) / deviations) < 6.0 / math.sqrt(400)).all()
    assert (abs((draws**2).mean(axis=0) / deviations**2 - 1.0) < 6.0 * math.sqrt(2.0 / 400)).all()
    assert all(chain.trouble is None for chain in found)
    accept = torch.stack([chain.draws.stats["accept_prob"] for chain in found]).mean()
    assert 0.7 < accept < 0.95


def test_auto_makes_correlation_cheap():
    """With correlation 0.99 neighbouring draws are nearly independent once the metric knows it, and one otherwise."""

    def lag_one(options) -> float:
        found = run(normal(correlated(20, 0.99), native=True), options, num_warmup=500, num_draws=500)
        common = positions(found).mean(-1)  # its variance is some 2000 times that of what is left
        return float((common[:, 1:] * common[:, :-1]).sum() / (common**2).sum())

    assert lag_one(SamplerOptions()) < 0.4
    assert lag_one(SamplerOptions(metric="fisher")) > 0.6


def test_a_funnel_diverges_and_says_where():
    found = run(funnel(9, native=True), num_warmup=300, num_draws=1000, num_chains=4)
    count = sum(chain.num_divergences for chain in found)
    assert 0 < count == sum(int(chain.draws.stats["diverging"].sum()) for chain in found)
    where = torch.cat([chain.draws.divergence_positions for chain in found])
    assert where[:, 0].mean() < 0.0  # in the neck
    for chain in found:
        marked = chain.draws.stats["diverging"].nonzero().ravel()[:100]
        assert (chain.draws.divergence_draws == marked).all()


@pytest.mark.parametrize("options", [
    SamplerOptions(algorithm="hmc", trajectory_length=1.5), SamplerOptions(algorithm="hmc", num_steps=2),
    SamplerOptions(use_multinomial=False),
])  # fmt: skip
def test_other_algorithms_draw_it_too(options):
    found = run(normal(correlated(3, 0.5), native=True), options, 4, 500, 2000)
    draws = positions(found).reshape(-1, 3)
    assert (draws.mean(0).abs() < 6.0 / math.sqrt(500)).all()
    assert ((draws**2).mean(0) - 1.0).abs().max() < 6.0 * math.sqrt(2.0 / 500)


def test_shapes_types_and_counters():
    monitor = Monitor(3)
    found = run(normal(HARD, native=True), monitor=monitor, save_warmup=True, thinning=2)
    for chain in found:
        draws, stats = chain.draws, chain.draws.stats
        assert draws.positions.shape == (50, 5) and draws.positions.dtype == torch.float64
        assert set(stats) == {"accept_prob", "step_size", "tree_depth", "num_steps", "energy", "diverging"}
        assert all(column.shape == (50,) for column in (*stats.values(), draws.log_density))
        assert stats["num_steps"].dtype == torch.int64 and stats["diverging"].dtype == torch.bool
        assert not draws.interrupted and chain.warmup_draws.positions.shape == (150, 5)
        assert len(set(stats["step_size"].tolist())) == 1 and stats["step_size"][0] == chain.sampler.step_size
        value, _ = normal(HARD).value_and_grad(draws.positions[-1])
        assert float(draws.log_density[-1]) == pytest.approx(float(value))
        row = monitor.counters[chain.number]
        assert row[0] == 250 and row[1] == chain.sampler.leapfrogs and row[3] == FINISHED


def test_thinning_keeps_every_other_draw():
    density = normal(HARD, native=True)
    whole, half = positions(run(density, num_draws=40)), positions(run(density, num_draws=20, thinning=2))
    assert (whole[:, 1::2] == half).all()


@pytest.mark.parametrize("native", [True, False])
def test_a_saved_chain_goes_on_elsewhere_as_it_would_have_here(native):
    density = normal(HARD, native=native)
    found = run(density, num_warmup=100, num_draws=10, num_chains=2)
    file = io.BytesIO()
    torch.save([chain.state_dict() for chain in found], file)
    continue_chains(density, found, num_warmup=0, num_draws=30)
    file.seek(0)
    others = make_chains(density, starts(2, 5), SamplerOptions(), seed=99)
    for chain, state in zip(others, torch.load(file, weights_only=True)):
        chain.load_state_dict(state)
    continue_chains(density, others, num_warmup=0, num_draws=30)
    assert (positions(found) == positions(others)).all()


def test_one_run_is_two_in_a_row():
    density = normal(HARD, native=True)
    whole = positions(run(density, num_draws=60))
    found = run(density, num_draws=25)
    first = positions(found)
    continue_chains(density, found, num_warmup=0, num_draws=35)
    assert (torch.cat([first, positions(found)], dim=1) == whole).all()


def test_no_warm_up_keeps_the_step_size():
    found = run(normal(numpy.eye(2), native=True), SamplerOptions(step_size=0.37), num_warmup=0)
    assert all(chain.sampler.step_size == 0.37 for chain in found)
    fixed = SamplerOptions(step_size=0.37, adapt_step_size=False, adapt_mass_matrix=False)
    found = run(normal(numpy.eye(2), native=True), fixed)
    assert all(chain.sampler.step_size == 0.37 for chain in found)
    assert all((chain.values.scale == 1.0).all() for chain in found)


@pytest.mark.parametrize("mass", [torch.tensor([1.0, 4.0]), torch.tensor([[2.0, 1.0], [1.0, 3.0]])])
def test_a_mass_matrix_may_be_given(mass):
    options = SamplerOptions(initial_inverse_mass=mass, adapt_mass_matrix=False)
    (chain,) = run(normal(numpy.eye(2), native=True), options, 1)
    assert chain.values.kind == (DIAGONAL if mass.ndim == 1 else DENSE)
    assert torch.from_numpy(chain.values.inverse_mass()) == pytest.approx(mass.double())


@pytest.mark.parametrize("method", ["threads", "sequential", "vectorized"])
@pytest.mark.parametrize("native", [True, False])
def test_ctrl_c_leaves_the_draws_so_far(method, native):
    """The watcher's tick is where the main thread would meet Ctrl-C."""

    def ctrl_c(monitor):
        if monitor.counters[:, 0].max() >= 120:
            raise KeyboardInterrupt

    monitor = Monitor(3, on_tick=ctrl_c, interval=0.001)
    slow = SamplerOptions(step_size=0.001, adapt_step_size=False, max_tree_depth=(2, 2))
    found = run(
        normal(correlated(5, 0.99), native=native), slow, num_warmup=50, num_draws=100_000,
        chain_method=method, monitor=monitor,
    )  # fmt: skip
    assert all(chain.draws.interrupted for chain in found)
    assert 0 < max(len(chain.draws.positions) for chain in found) < 100_000
    for chain in found:
        assert torch.isfinite(chain.draws.positions).all()
        assert len(chain.draws.positions) == len(chain.draws.stats["energy"])


def test_an_error_of_the_density_comes_through():
    density = normal(numpy.eye(2))

    def broken(z):
        raise ZeroDivisionError("the user's")

    density.function = broken
    for method in ("sequential", "vectorized"):
        with pytest.raises(ZeroDivisionError, match="the user's"):
            run(density, chain_method=method)


def test_an_error_of_the_watcher_stops_the_chains_first():
    def broken(monitor):
        raise OSError("no terminal")

    monitor = Monitor(2, on_tick=broken, interval=0.001)
    with pytest.raises(OSError, match="no terminal"):
        run(normal(HARD, native=True), num_chains=2, num_draws=1_000_00, monitor=monitor)
    assert monitor.stop[0] == 1


@pytest.mark.parametrize("method", ["threads", "vectorized"])
def test_trouble_is_told(method):
    flat = normal(numpy.eye(2))
    flat.function = lambda z: (-math.inf, numpy.zeros(2))
    assert [chain.trouble for chain in run(flat, chain_method=method)] == ["impossible_start"] * 3

    lone = normal(numpy.eye(2))  # possible at one point only: nothing else is ever accepted
    first = starts(3, 2).numpy()
    lone.function = lambda z: ((0.0 if (z == first).all(axis=1).any() else -math.inf), numpy.zeros(2))
    shallow = SamplerOptions(max_tree_depth=(2, 2))
    assert {chain.trouble for chain in run(lone, shallow, chain_method=method)} <= {
        "step_size_collapsed",
        "all_diverged",
    }
    fixed = SamplerOptions(adapt_step_size=False)
    assert [chain.trouble for chain in run(lone, fixed, chain_method=method)] == ["all_diverged"] * 3


def test_without_a_compiler_python_does_it(monkeypatch):
    def none(*args):
        raise CompilerError("there is no compiler")

    expected = run(normal(correlated(2, 0.5)), num_warmup=0, num_draws=20)
    monkeypatch.setattr(chains, "NativeSampler", _Without(none))
    density = normal(correlated(2, 0.5))
    found = run(density, num_warmup=0, num_draws=20)
    assert [chain.sampler.state_dict()["kind"] for chain in found] == ["python"] * 3
    assert torch.allclose(positions(found), positions(expected), rtol=0.0, atol=1e-9)
    warm = run(density, SamplerOptions(metric=FisherMetric()), num_warmup=60, num_draws=20, save_warmup=True)
    assert all(len(chain.warmup_draws.positions) == 60 and chain.trouble is None for chain in warm)


class _Without(type):
    """A class of no instances whose making fails, in the place of NativeSampler."""

    def __new__(cls, fail):
        return super().__new__(cls, "NativeSampler", (), {})

    def __init__(cls, fail):
        super().__init__("NativeSampler", (), {})
        cls.fail = staticmethod(fail)

    def __call__(cls, *args):
        return cls.fail(*args)


def test_mistakes_are_told():
    density = normal(numpy.eye(2))
    with pytest.raises(UsageError, match="do not fit the density"):
        make_chains(density, torch.zeros(3, 4), SamplerOptions(), seed=0)
    with pytest.raises(UsageError, match="no such chain method"):
        run(density, chain_method="parallel")
    for wrong in (
        {"algorithm": "gibbs"}, {"step_size": 0.0}, {"target_accept_prob": 1.0}, {"max_tree_depth": (10, 99)},
        {"algorithm": "hmc"}, {"algorithm": "hmc", "num_steps": 0}, {"warmup": "pyro"},
        {"algorithm": "hmc", "trajectory_length": -1.0},
    ):  # fmt: skip
        with pytest.raises(UsageError, match="cannot be used"):
            SamplerOptions(**wrong)


def test_chains_may_be_run_by_hand():
    density, monitor = normal(HARD), Monitor(1)
    (chain,) = make_chains(density, starts(1, 5), SamplerOptions(), seed=7)
    assert chain.warm_up(150, monitor, save=True).positions.shape == (150, 5)
    draws = chain.sample(50, monitor)
    expected = run(density, num_chains=1, chain_method="sequential")[0].draws
    assert (draws.positions == expected.positions).all()


def test_linear_algebra_has_one_thread_while_chains_run():
    """numpy's, which metrics use, and scipy's, which emitted densities use."""
    import scipy.linalg.cython_blas

    files = [numpy.linalg._umath_linalg.__file__, scipy.linalg.cython_blas.__file__]
    doors = [found for found in map(blas._doors, files) if found is not None]
    if not doors:
        pytest.skip("numpy and scipy stand on another library than OpenBLAS here")

    def threads() -> list[int]:
        return [reader() for reader, _ in doors]

    before, seen = threads(), []
    density = normal(numpy.eye(2))
    inner = density.function
    for _, writer in doors:
        writer(2)
    try:
        density.function = lambda z: (seen.extend(threads()), inner(z))[1]
        run(density, num_warmup=2, num_draws=2)
        assert set(seen) == {1} and threads() == [2] * len(doors)
        with blas.single_threaded_blas(), blas.single_threaded_blas():
            assert set(threads()) == {1}
        assert threads() == [2] * len(doors)
    finally:
        for (_, writer), count in zip(doors, before):
            writer(count)
