"""The C sampler against the readable one: from the same states and random numbers the same transitions."""

from __future__ import annotations

import numpy
import pytest

from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.library import sampler_library
from pyroxene.infer.mcmc.metrics import DENSE, DIAGONAL, LOW_RANK, MetricValues
from pyroxene.infer.mcmc.native import NativeSampler
from pyroxene.infer.mcmc.options import SamplerOptions
from pyroxene.infer.mcmc.random_stream import RandomStream
from pyroxene.infer.mcmc.reference import ReferenceSampler
from pyroxene.infer.mcmc.sampler import STATISTICS, Outcome, Recording
from pyroxene.infer.mcmc.trajectory import hmc_transition, nuts_transition, point_at
from tests.infer.mcmc.densities import correlated, funnel, normal

GO = numpy.zeros(1, dtype=numpy.int32)
COUNT = 300  # transitions of each case


def metric_of(kind: int, dim: int, generator: numpy.random.Generator) -> MetricValues:
    scale = numpy.exp(0.3 * generator.normal(size=dim))
    if kind == DIAGONAL:
        return MetricValues(DIAGONAL, scale)
    if kind == DENSE:
        factor = numpy.tril(0.2 * generator.normal(size=(dim, dim)), -1) + numpy.diag(scale)
        return MetricValues(DENSE, numpy.ones(dim), factor)
    rows = numpy.linalg.qr(generator.normal(size=(dim, 2)))[0].T.copy()
    return MetricValues(LOW_RANK, scale, rows, numpy.array([0.7, -0.4]))


def recording(num_draws: int, dim: int, **options) -> Recording:
    return Recording(num_draws, dim, numpy.zeros(8, dtype=numpy.int64), **options)


CASES = {
    "standard": (normal(numpy.eye(4)), DIAGONAL, 0.5, SamplerOptions()),
    "one dimension": (normal(numpy.eye(1)), DIAGONAL, 0.6, SamplerOptions()),
    "correlated, odd dimension": (normal(correlated(7, 0.8, 3.0)), DIAGONAL, 0.4, SamplerOptions()),
    "nine dimensions": (normal(correlated(9, 0.3)), DIAGONAL, 0.3, SamplerOptions()),
    "dense metric": (normal(correlated(5, 0.6)), DENSE, 0.4, SamplerOptions()),
    "low-rank metric": (normal(correlated(6, 0.6)), LOW_RANK, 0.4, SamplerOptions()),
    "funnel, with divergences": (funnel(5), DIAGONAL, 0.9, SamplerOptions()),
    "slice": (normal(correlated(5, 0.5)), DIAGONAL, 0.5, SamplerOptions(use_multinomial=False)),
    "slice, funnel": (funnel(3), DIAGONAL, 0.9, SamplerOptions(use_multinomial=False)),
    "shallow": (normal(correlated(5, 0.9)), DIAGONAL, 0.1, SamplerOptions(max_tree_depth=(3, 3))),
    "hmc, fixed steps": (normal(correlated(5, 0.5)), DIAGONAL, 0.9, SamplerOptions(algorithm="hmc", num_steps=7)),
    "hmc, fixed length": (funnel(4), DENSE, 0.7, SamplerOptions(algorithm="hmc", trajectory_length=4.0)),
}


@pytest.mark.parametrize("case", CASES)
def test_single_transitions_agree(case):
    density, kind, step_size, options = CASES[case]
    generator = numpy.random.default_rng(3)
    ties = 0
    for number in range(COUNT):
        start = 1.5 * generator.normal(size=density.dim)
        metric = metric_of(kind, density.dim, generator)
        sampler = NativeSampler(density.dim, options, 11, number, (kind == DENSE, 2))
        sampler.start(start)
        sampler.set_metric(metric)
        sampler.step_size = step_size
        sampler.set_limits(adapting=False, max_depth=options.max_tree_depth[1])
        out = recording(1, density.dim)
        assert sampler.run(density.function, out, GO) == Outcome.FINISHED

        current, random = point_at(density.function, start), RandomStream(11, number)
        if options.algorithm == "nuts":
            transition = nuts_transition(
                density.function, metric, current, random, step_size=step_size,
                max_depth=options.max_tree_depth[1], multinomial=options.use_multinomial,
            )  # fmt: skip
        else:
            steps = options.num_steps or max(1, int(options.trajectory_length / step_size))
            transition = hmc_transition(density.function, metric, current, random, step_size=step_size, num_steps=steps)
        row = dict(zip(STATISTICS, out.statistics[0]))
        # a comparison that the last bit decides is a tie: another draw, rightly
        same = numpy.abs(out.positions[0] - transition.point.position).max() <= 1e-12 * max(1.0, abs(start).max())
        same = same and row["num_steps"] == transition.num_steps and row["tree_depth"] == transition.depth
        ties += not same
        if same:
            assert row["accept_prob"] == pytest.approx(transition.accept_prob, rel=1e-9, abs=1e-12)
            assert row["energy"] == pytest.approx(transition.point.energy, rel=1e-9, abs=1e-9)
            assert row["diverging"] == (transition.diverged_from is not None)
            assert row["log_density"] == pytest.approx(transition.point.log_density, rel=1e-9, abs=1e-12)
            if transition.diverged_from is not None:
                assert out.divergence_count == 1
                assert out.divergences[0] == pytest.approx(transition.diverged_from.position, rel=1e-9, abs=1e-12)
    assert ties <= COUNT * 0.002, f"{ties} of {COUNT} differ"


def test_divergences_are_among_the_cases():
    density, _, step_size, options = CASES["funnel, with divergences"]
    sampler = NativeSampler(density.dim, options, 0, 0)
    sampler.start(numpy.array([-3.0, 1.0, 1.0, 1.0, 1.0]))
    sampler.step_size = step_size
    out = recording(200, density.dim)
    sampler.run(density.function, out, GO)
    assert 0 < out.divergence_count == out.statistics[:, 5].sum()


def test_the_streams_are_one():
    """C draws what Python draws: momenta show in the first leapfrog of a flat density."""
    for chain in range(50):
        seen = []

        def flat(z, seen=seen):
            seen.append(z.copy())
            return 0.0, numpy.zeros_like(z)

        sampler = NativeSampler(5, SamplerOptions(algorithm="hmc", num_steps=1), 2**64 - 1, chain)
        sampler.start(numpy.zeros(5))
        sampler.run(flat, recording(1, 5), GO)
        assert (seen[1] == RandomStream(-1, chain).normals(5)).all()  # -1 and 2^64 - 1 are one seed


def test_normals_are_normal():
    """Moments of 40 000 draws within six standard errors, and the share in each layer's tail: fails once in 1e8."""
    draws = RandomStream(5, 0).normals(40_000)
    for power, moment, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs((draws**power).mean() - moment) < 6.0 * (variance / len(draws)) ** 0.5
    for edge, beyond in ((1.0, 0.31731), (2.0, 0.045500), (3.0, 0.0026998), (3.442619855899, 0.00057608)):
        share = (abs(draws) > edge).mean()
        assert abs(share - beyond) < 6.0 * (beyond / len(draws)) ** 0.5


def test_streams_differ_by_seed_and_chain():
    first = {RandomStream(seed, chain).bits() for seed in range(30) for chain in range(30)}
    assert len(first) == 900


@pytest.mark.parametrize("make", [NativeSampler, ReferenceSampler])
def test_an_impossible_start_is_an_outcome(make):
    for value, slope in ((-numpy.inf, 0.0), (numpy.nan, 0.0), (0.0, numpy.nan), (0.0, numpy.inf)):
        sampler = make(2, SamplerOptions(), 0, 0)
        sampler.start(numpy.zeros(2))
        outcome = sampler.run(lambda z, v=value, s=slope: (v, numpy.full(2, s)), recording(5, 2), GO)
        assert outcome == Outcome.IMPOSSIBLE


@pytest.mark.parametrize("make", [NativeSampler, ReferenceSampler])
def test_impossible_points_are_divergences(make):
    """A half space: the density is -inf, or nan, outside; no draw is ever outside."""

    def half(z):
        inside = z[0] > 0.0
        return (-0.5 * z @ z if inside else (-numpy.inf if z[1] > 0 else numpy.nan)), -z

    sampler = make(2, SamplerOptions(step_size=0.5), 0, 0)
    sampler.start(numpy.ones(2))
    out = recording(300, 2)
    sampler.run(half, out, GO)
    assert (out.positions[:, 0] > 0.0).all()
    assert out.divergence_count > 50


@pytest.mark.parametrize("make", [NativeSampler, ReferenceSampler])
def test_a_run_can_be_stopped_and_go_on(make):
    """Stopped in the middle of a trajectory, the chain goes on to the draws it would have had."""
    density = normal(correlated(3, 0.5))

    def drawn(stop_at: int) -> numpy.ndarray:
        stop, calls = numpy.zeros(1, dtype=numpy.int32), 0

        def counted(z):
            nonlocal calls
            calls += 1
            if calls == stop_at:
                stop[0] = 1
            return density.function(z)

        sampler = make(3, SamplerOptions(step_size=0.3), 1, 0)
        sampler.start(numpy.ones(3))
        out = recording(20, 3)
        outcome = sampler.run(counted, out, stop)
        if stop_at:
            assert outcome == Outcome.STOPPED and out.recorded < 20
            stop[0] = 0
            outcome = sampler.run(counted, out, stop)
        assert outcome == Outcome.FINISHED
        return out.positions

    whole = drawn(0)
    for stop_at in (1, 2, 9, 40):
        assert (drawn(stop_at) == whole).all()


@pytest.mark.parametrize("make", [NativeSampler, ReferenceSampler])
def test_a_state_goes_on_elsewhere(make):
    density = normal(correlated(3, 0.5))
    first = make(3, SamplerOptions(step_size=0.3), 1, 0)
    first.start(numpy.ones(3))
    first.set_limits(adapting=True, max_depth=10)
    first.search()
    first.run(density.function, recording(30, 3), GO)
    first.set_metric(MetricValues(DIAGONAL, numpy.array([1.0, 2.0, 0.5])))
    second = make(3, SamplerOptions(), 99, 7)
    second.load_state_dict(first.state_dict())
    outs = [recording(30, 3), recording(30, 3)]
    for sampler, out in zip((first, second), outs):
        sampler.run(density.function, out, GO)
    assert (outs[0].positions == outs[1].positions).all()
    assert first.step_size == second.step_size and first.leapfrogs == second.leapfrogs


@pytest.mark.parametrize("make", [NativeSampler, ReferenceSampler])
def test_a_state_of_another_dimension_is_refused(make):
    first, second = make(3, SamplerOptions(), 0, 0), make(4, SamplerOptions(), 0, 0)
    first.start(numpy.zeros(3))
    with pytest.raises(UsageError, match="another sampler's"):
        second.load_state_dict(first.state_dict())


def test_both_samplers_adapt_alike():
    """Search and dual averaging: the step sizes of twenty draws, before chaos parts the two."""
    density = normal(correlated(3, 0.2))
    steps = []
    for make in (NativeSampler, ReferenceSampler):
        sampler = make(3, SamplerOptions(), 4, 0)
        sampler.start(numpy.ones(3))
        sampler.set_limits(adapting=True, max_depth=4)
        sampler.search()
        out = recording(20, 3)
        sampler.run(density.function, out, GO)
        steps.append([*out.statistics[:, 1], sampler.step_size, sampler.mean_step_size, sampler.leapfrogs])
    assert steps[0] == pytest.approx(steps[1], rel=1e-9)


def test_huge_gains_do_not_overflow_the_weights():
    """From far out the energy falls by thousands: weights are scaled, and the chain arrives."""
    density = normal(numpy.eye(2))
    sampler = NativeSampler(2, SamplerOptions(step_size=0.5), 0, 0)
    sampler.start(numpy.array([300.0, -300.0]))
    seen = []

    def tilted(z):  # a second, steeper well makes the Hamiltonian a poor guide: gains beyond exp(700)
        value, gradient = density.function(z)
        seen.append(value)
        return value * (1.0 if len(seen) % 7 else 0.9), gradient

    out = recording(50, 2)
    sampler.run(tilted, out, GO)
    assert numpy.isfinite(out.positions).all() and numpy.isfinite(out.statistics).all()


def test_the_numbers_of_the_source_are_ours():
    """Columns and fields are numbered on both sides; the C side says what its numbers are."""
    sampler = NativeSampler(2, SamplerOptions(step_size=0.25, target_accept_prob=0.9), 0, 0)
    assert sampler.step_size == 0.25 and sampler.mean_step_size == 0.25 and sampler.leapfrogs == 0
    assert sampler.is_unevaluated is False
    sampler.start(numpy.zeros(2))
    assert sampler.is_unevaluated is True
    assert sampler_library().sampler_bytes(2, 0, 0, 10) == len(sampler._memory)
    assert sampler.address % 64 == 0


@pytest.mark.parametrize("make", [NativeSampler, ReferenceSampler])
def test_a_collapsed_step_size_costs_little(make):
    """Steps that move nothing are all accepted and never turn: 1023 of them a draw would be wasted."""
    sampler = make(2, SamplerOptions(step_size=1e-30), 0, 0)
    sampler.start(numpy.ones(2))
    out = recording(10, 2)
    assert sampler.run(normal(numpy.eye(2)).function, out, GO) == Outcome.FINISHED
    assert sampler.leapfrogs == 10
