"""The readable transitions: what the mathematics says of a leapfrog, and draws of known densities."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
import pytest

from pyroxene.infer.mcmc.metrics import DENSE, DIAGONAL, LOW_RANK, MetricValues
from pyroxene.infer.mcmc.random_stream import RandomStream
from pyroxene.infer.mcmc.trajectory import hmc_transition, leapfrog, nuts_transition, point_at
from tests.infer.mcmc.densities import correlated, funnel, normal

PLAIN = MetricValues(DIAGONAL, numpy.ones(3))


def start(density, momentum=(0.3, -1.0, 0.7)):
    return replace(point_at(density.function, numpy.array([0.5, -0.2, 1.0])), momentum=numpy.array(momentum))


@pytest.mark.parametrize("density", [normal(correlated(3, 0.5)), funnel(3)])
def test_a_leapfrog_back_leads_back(density):
    there = leapfrog(density.function, PLAIN, start(density), 0.2)
    back = leapfrog(density.function, PLAIN, there, -0.2)
    assert back.position == pytest.approx(start(density).position, abs=1e-14)
    assert back.momentum == pytest.approx(start(density).momentum, abs=1e-14)


def test_a_leapfrog_keeps_volume():
    density = funnel(3)

    def flow(phase):
        point = replace(point_at(density.function, phase[:3]), momentum=phase[3:])
        there = leapfrog(density.function, PLAIN, point, 0.3)
        return numpy.concatenate([there.position, there.momentum])

    where, step = numpy.array([0.5, -0.2, 1.0, 0.3, -1.0, 0.7]), 1e-6
    columns = [(flow(where + step * e) - flow(where - step * e)) / (2 * step) for e in numpy.eye(6)]
    assert numpy.linalg.det(numpy.stack(columns)) == pytest.approx(1.0, abs=1e-7)


def test_the_energy_error_is_of_second_order():
    density = funnel(3)

    def error(steps: int) -> float:
        point = start(density)
        for _ in range(steps):
            point = leapfrog(density.function, PLAIN, point, 1.0 / steps)
        return abs(point.energy - start(density).energy)

    assert error(100) / error(200) == pytest.approx(4.0, rel=0.05)


def test_a_whitened_metric_is_a_linear_change_of_variables():
    """With M^-1 = F F^T the trajectory of x in z = F x is the unit metric's on the density of x."""
    covariance = correlated(3, 0.5, 3.0)
    factor = numpy.linalg.cholesky(covariance)
    metric = MetricValues(DENSE, numpy.ones(3), factor)
    density, inner = normal(covariance), normal(numpy.eye(3))
    x = replace(point_at(inner.function, numpy.ones(3)), momentum=numpy.array([0.1, 0.2, 0.3]))
    z = replace(point_at(density.function, factor @ numpy.ones(3)), momentum=x.momentum)
    for _ in range(5):
        x, z = leapfrog(inner.function, PLAIN, x, 0.3), leapfrog(density.function, metric, z, 0.3)
        assert z.position == pytest.approx(factor @ x.position, abs=1e-13)
        assert z.momentum == pytest.approx(x.momentum, abs=1e-13)


@pytest.mark.parametrize("values", [
    MetricValues(DIAGONAL, numpy.array([1.0, 2.0, 0.5])),
    MetricValues(DENSE, numpy.ones(3), numpy.linalg.cholesky(correlated(3, 0.7))),
    MetricValues(LOW_RANK, numpy.array([1.0, 2.0, 0.5]), numpy.array([[0.6, 0.0, 0.8]]), numpy.array([1.5])),
])  # fmt: skip
def test_factors_are_adjoint_and_saved(values):
    generator = numpy.random.default_rng(0)
    p, g = generator.normal(size=(2, 3))
    assert values.to_position(p) @ g == pytest.approx(p @ values.to_momentum(g))
    again = MetricValues.from_state_dict(values.state_dict())
    mass = values.inverse_mass()
    assert (again.inverse_mass() == mass).all() and again.rank == values.rank
    product = mass * g if mass.ndim == 1 else mass @ g
    assert values.to_position(values.to_momentum(g)) == pytest.approx(product)


@pytest.mark.parametrize("multinomial", [True, False])
def test_nuts_draws_a_normal(multinomial):
    """Second moments of 4000 draws, which are worth more than 1500: six standard errors fail once in 5e8."""
    covariance = correlated(2, 0.5)
    density, random = normal(covariance), RandomStream(1, 0)
    point, draws = point_at(density.function, numpy.zeros(2)), []
    metric = MetricValues(DIAGONAL, numpy.ones(2))
    for _ in range(4000):
        transition = nuts_transition(
            density.function, metric, point, random, step_size=0.9, max_depth=5, multinomial=multinomial
        )
        point = transition.point
        draws.append(point.position)
    draws = numpy.stack(draws)
    products = draws[:, :, None] * draws[:, None, :]
    for i, j in ((0, 0), (0, 1), (1, 1)):
        spread = math.sqrt(covariance[i, i] * covariance[j, j] + covariance[i, j] ** 2)
        assert abs(products[:, i, j].mean() - covariance[i, j]) < 6.0 * spread / math.sqrt(1500)
    assert (abs(draws.mean(axis=0)) < 6.0 / math.sqrt(1500)).all()


def test_hmc_draws_a_normal():
    """As above, with a quarter period: nearly independent draws."""
    density, random = normal(numpy.eye(2)), RandomStream(2, 0)
    point, draws = point_at(density.function, numpy.zeros(2)), []
    metric = MetricValues(DIAGONAL, numpy.ones(2))
    for _ in range(3000):
        point = hmc_transition(density.function, metric, point, random, step_size=0.8, num_steps=2).point
        draws.append(point.position)
    squares = numpy.stack(draws) ** 2
    assert (abs(squares.mean(axis=0) - 1.0) < 6.0 * math.sqrt(2.0 / 1500)).all()


def test_a_u_turn_ends_a_trajectory():
    """A standard normal turns after half a period, pi: 1024 steps are never taken at step size 0.1."""
    density, random = normal(numpy.eye(3)), RandomStream(3, 0)
    point, metric = point_at(density.function, numpy.ones(3)), PLAIN
    for _ in range(50):
        transition = nuts_transition(density.function, metric, point, random, step_size=0.1)
        assert 15 <= transition.num_steps <= 127
        assert transition.depth <= 6 and transition.diverged_from is None
        point = transition.point
