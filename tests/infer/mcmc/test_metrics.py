"""Metrics: exact where theory says so, robust where a window is poor."""

from __future__ import annotations

import shutil

import numpy
import pytest

from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.metrics import (
    DENSE,
    DIAGONAL,
    LOW_RANK,
    ArrowheadMetric,
    AutoMetric,
    BlockMetric,
    DenseMetric,
    DiagonalMetric,
    FisherMetric,
    LowRankMetric,
    make_metric,
)
from pyroxene.infer.mcmc.metrics.auto import ROUND
from pyroxene.infer.mcmc.metrics.diagonal import regularised_variance
from pyroxene.infer.mcmc.metrics.fisher import geometric_mean, scale_from_gradient
from pyroxene.infer.mcmc.metrics.in_c import least_divergence
from tests.infer.mcmc.densities import correlated

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler on the path"
)

ALL = [
    AutoMetric(),
    DiagonalMetric(),
    FisherMetric(),
    LowRankMetric(),
    DenseMetric(),
    BlockMetric([[0, 2]]),
    ArrowheadMetric(2),
]


def window(covariance: numpy.ndarray, count: int, seed: int = 0) -> tuple[numpy.ndarray, numpy.ndarray]:
    draws = numpy.random.default_rng(seed).multivariate_normal(numpy.ones(len(covariance)), covariance, size=count)
    return draws, -(draws - 1.0) @ numpy.linalg.inv(covariance)


def test_variances_are_shrunk_as_stan_does():
    draws, gradients = window(numpy.diag([1.0, 4.0]), 20)
    expected = draws.var(axis=0, ddof=1) * 20 / 25 + 1e-3 * 5 / 25
    assert DiagonalMetric().update(draws, gradients).inverse_mass() == pytest.approx(expected)


def test_fisher_is_all_but_exact_for_independent_normals():
    """From four draws: draws and gradients spread in proportion; a share of the gradients' mean is added."""
    variances = numpy.array([1e-4, 1.0, 1e4])
    values = FisherMetric().update(*window(numpy.diag(variances), 4))
    assert values.inverse_mass() == pytest.approx(variances, rel=0.1)


@pytest.mark.parametrize("metric", [FisherMetric(), LowRankMetric(), DenseMetric(), AutoMetric()])
def test_a_constant_slope_is_not_a_flat_density(metric):
    """A window on one side of a Laplace density: the gradient's variance is zero, its mean is 1 / scale."""
    draws = numpy.abs(numpy.random.default_rng(0).laplace(size=(20, 3)))
    variances = numpy.diag(metric.update(draws, -numpy.ones((20, 3))).inverse_mass() * numpy.eye(3))
    assert (variances > 0.1).all() and (variances < 10.0).all()


def test_auto_is_diagonal_dense_or_low_rank():
    auto = AutoMetric()
    assert auto.update(*window(numpy.diag(numpy.arange(1.0, 6.0)), 50)).kind == DIAGONAL
    assert auto.update(*window(correlated(5, 0.9), 50)).kind == DENSE and auto.room(5) == (True, 0)
    assert auto.update(*window(correlated(150, 0.9), 200)).kind == LOW_RANK and auto.room(150)[1] > 0


def test_the_geometric_mean_solves_its_equation():
    generator = numpy.random.default_rng(0)
    covariance, precision = (root @ root.T + numpy.eye(4) for root in generator.normal(size=(2, 4, 4)))
    mean = geometric_mean(covariance, precision)
    assert mean @ precision @ mean == pytest.approx(covariance)
    assert geometric_mean(covariance, numpy.linalg.inv(covariance)) == pytest.approx(covariance)


@pytest.mark.parametrize("dim", [2, 20, 100])  # 100 is beyond the rank: directions are sought in a subspace
def test_low_rank_makes_correlated_normals_round(dim):
    covariance = correlated(dim, 0.95, 100.0)
    values = LowRankMetric().update(*window(covariance, 300))
    assert values.kind == LOW_RANK
    eigenvalues = numpy.linalg.eigvals(numpy.linalg.solve(values.inverse_mass(), covariance)).real
    assert eigenvalues.max() / eigenvalues.min() < 8.0
    scaled = numpy.linalg.eigvalsh(correlated(dim, 0.95))
    assert scaled.max() / scaled.min() > 38.0  # what a diagonal leaves


def test_low_rank_directions_are_orthonormal_and_few():
    values = LowRankMetric().update(*window(correlated(100, 0.9), 300))
    assert values.matrix @ values.matrix.T == pytest.approx(numpy.eye(values.rank), abs=1e-6)
    assert 1 <= values.rank <= 100 and (values.shrink > -1.0).all()
    assert LowRankMetric(max_rank=1).update(*window(correlated(10, 0.9), 300)).rank == 1


def test_low_rank_is_diagonal_where_that_is_enough():
    for dim, count in ((1, 50), (20, 50), (100, 20), (100, 200)):
        assert LowRankMetric().update(*window(numpy.diag(numpy.arange(1.0, dim + 1)), count)).kind == DIAGONAL


@pytest.mark.parametrize(("count", "roundness"), [(25, 8.0), (400, 1.6)])
def test_dense_finds_a_normal_s_covariance(count, roundness):
    """Draws and gradients say it together from little more draws than dimensions; the draws alone would be far off."""
    covariance = correlated(20, 0.9, 1000.0)
    draws, gradients = window(covariance, count)
    values = DenseMetric().update(draws, gradients)
    eigenvalues = numpy.linalg.eigvals(numpy.linalg.solve(values.inverse_mass(), covariance)).real
    assert eigenvalues.max() / eigenvalues.min() < roundness
    alone = numpy.linalg.eigvals(numpy.linalg.solve(numpy.cov(draws.T), covariance)).real
    assert alone.max() / alone.min() > 1.4 * roundness
    assert (numpy.triu(values.matrix, 1) == 0.0).all()


def test_dense_is_usable_from_fewer_draws_than_dimensions():
    """Directions that were not seen keep the diagonal's scale: no factor of the whitened covariance is extreme."""
    values = DenseMetric().update(*window(numpy.diag(10.0 ** numpy.linspace(-3, 3, 30)), 8))
    whitened = numpy.linalg.eigvals(
        numpy.linalg.solve(values.inverse_mass(), numpy.diag(10.0 ** numpy.linspace(-3, 3, 30)))
    ).real
    assert whitened.max() / whitened.min() < 8.0


def test_blocks_are_dense_and_apart():
    """Where blocks are independent, each is what a dense metric of it alone would be."""
    covariance = numpy.diag([1.0, 4.0, 9.0, 16.0])
    covariance[0, 2] = covariance[2, 0] = 2.0
    draws, gradients = window(covariance, 50)
    mass = BlockMetric([[0, 2]]).update(draws, gradients).inverse_mass()
    alone = DenseMetric().update(draws[:, [0, 2]], gradients[:, [0, 2]]).inverse_mass()
    assert mass[numpy.ix_([0, 2], [0, 2])] == pytest.approx(alone)
    assert mass[[1, 3], [1, 3]] == pytest.approx([4.0, 16.0], rel=0.1)
    for i, j in ((0, 1), (0, 3), (1, 2), (1, 3), (2, 3)):
        assert mass[i, j] == 0.0
    with pytest.raises(UsageError, match="share a coordinate"):
        BlockMetric([[0, 1], [1, 2]])


def test_an_arrowhead_s_mass_matrix_has_one():
    draws, gradients = window(correlated(6, 0.5), 60)
    mass = numpy.linalg.inv(ArrowheadMetric(2).update(draws, gradients).inverse_mass())
    tail = mass[2:, 2:]
    assert abs(tail - numpy.diag(numpy.diag(tail))).max() < 1e-9 * abs(mass).max()
    full = DenseMetric().update(draws, gradients).inverse_mass()
    arrow = ArrowheadMetric(2).update(draws, gradients).inverse_mass()
    assert arrow[:2] == pytest.approx(full[:2])
    whole = ArrowheadMetric(9).update(draws, gradients).inverse_mass()
    assert whole == pytest.approx(full)
    headless, fisher = (metric.update(draws, gradients) for metric in (ArrowheadMetric(0), FisherMetric()))
    assert (headless.inverse_mass() == fisher.inverse_mass()).all()


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
@pytest.mark.parametrize("kind", ["stuck", "two", "huge", "one stuck", "flat gradients"])
def test_poor_windows_give_usable_values(metric, kind):
    """A chain that never moved, two draws, numbers at the edge: the factor is finite, and no direction is lost."""
    draws, gradients = window(correlated(3, 0.5), 2 if kind == "two" else 20)
    if kind == "stuck":
        draws, gradients = numpy.repeat(draws[:1], 20, axis=0), numpy.repeat(gradients[:1], 20, axis=0)
    elif kind == "huge":
        draws, gradients = draws * 1e8, gradients * 1e8
    elif kind == "one stuck":
        draws[:, 1], gradients[:, 1] = 2.0, 0.0
    elif kind == "flat gradients":
        gradients[:] = 0.0
    values = metric.update(draws, gradients)
    identity = numpy.eye(3)
    factor = numpy.stack([values.to_position(row) for row in identity], axis=1)
    assert numpy.isfinite(factor).all()
    assert numpy.linalg.matrix_rank(factor / abs(factor).max(axis=1, keepdims=True)) == 3
    assert values.rank <= metric.room(3)[1]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_metrics_remember_nothing_they_do_not_say(metric):
    metric.load_state_dict(metric.state_dict())
    assert 2 <= metric.smallest_window(5) <= 20


@pytest.mark.parametrize("metric", [FisherMetric(), LowRankMetric(), DenseMetric()])
def test_row_norms_are_roots_of_the_inverse_mass_s_diagonal(metric):
    values = metric.update(*window(correlated(6, 0.9, 10.0), 50))
    mass = values.inverse_mass()
    assert values.row_norms() == pytest.approx(numpy.sqrt(mass if mass.ndim == 1 else numpy.diag(mass)))


def test_a_first_scale_from_one_gradient():
    gradient = numpy.array([1e4, 1.0, -1e-4, 0.0])
    scale = scale_from_gradient(gradient)
    assert scale[:3] == pytest.approx([1e-2, 1.0, 1e2], rel=1.1)
    assert numpy.isfinite(scale).all() and (scale > 0.0).all()
    assert (scale_from_gradient(numpy.zeros(3)) == 1.0).all()
    assert (scale_from_gradient(numpy.full(3, 1e-9)) == 1.0).all()


@pytest.mark.parametrize(("name", "kind"), [
    ("auto", AutoMetric), ("diagonal", DiagonalMetric), ("fisher", FisherMetric), ("low_rank", LowRankMetric),
    ("dense", DenseMetric), (("block", [[0, 1]]), BlockMetric), (("arrowhead", 2), ArrowheadMetric),
])  # fmt: skip
def test_metrics_by_name(name, kind):
    metric = make_metric(name)
    assert type(metric) is kind and make_metric(metric) is metric


@pytest.mark.parametrize("name", ["full", ("block",), ("blocks", []), 3, None])
def test_an_unknown_metric_is_refused(name):
    with pytest.raises(UsageError, match="no such metric"):
        make_metric(name)


def test_low_rank_falls_back_to_variances_where_widths_change():
    """A correlated normal of a width that changes from draw to draw: its gradients tell of the narrow places alone."""
    draws, gradients = window(correlated(40, 0.9), 200)
    normal = LowRankMetric().update(draws, gradients)
    widths = numpy.geomspace(0.01, 10.0, 200)[:, None]
    draws, gradients = (draws - 1.0) * widths, gradients / widths
    changing = LowRankMetric().update(draws, gradients)
    assert (normal.kind, changing.kind) == (LOW_RANK, DIAGONAL)
    assert changing.inverse_mass() == pytest.approx(regularised_variance(draws))


def test_low_rank_waits_until_the_chain_has_come_down():
    """Gradients that all point one way are of a chain on its way; the direction it falls in is no narrow one."""
    draws, gradients = window(correlated(40, 0.9), 200)
    falling = gradients + 20.0 * numpy.linalg.norm(gradients, axis=1, keepdims=True) * numpy.ones(40)
    assert LowRankMetric().update(draws, gradients).kind == LOW_RANK
    assert LowRankMetric().update(draws, falling).kind == DIAGONAL


@needs_compiler
@pytest.mark.parametrize("dim", [1, 2, 5, 10, 16])
@pytest.mark.parametrize("count", [5, 31, 400])
def test_c_has_the_metric_that_numpy_has(dim, count):
    generator = numpy.random.default_rng(1)
    for covariance in (numpy.diag(numpy.geomspace(1e-4, 1e4, dim)), correlated(dim, 0.9, 100.0)):
        draws, gradients = window(covariance, count, seed=count)
        gradients += generator.normal(size=gradients.shape)
        found, expected = least_divergence(draws, gradients, ROUND), AutoMetric.reference(draws, gradients)
        assert found is not None and found.kind == expected.kind
        scale = expected.row_norms()
        units = scale**2 if expected.kind == DIAGONAL else numpy.outer(scale, scale)
        assert found.inverse_mass() / units == pytest.approx(expected.inverse_mass() / units, rel=1e-10, abs=1e-10)


@needs_compiler
def test_c_leaves_odd_windows_to_numpy():
    draws, gradients = window(numpy.eye(3), 20)
    for bad in (numpy.full_like(draws, numpy.nan), numpy.ones_like(draws), numpy.full_like(draws, 1e200)):
        assert least_divergence(bad, gradients, ROUND) is None
    assert least_divergence(draws, numpy.full_like(draws, numpy.inf), ROUND) is None
