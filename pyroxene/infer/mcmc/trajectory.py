"""One NUTS or HMC transition, written to be read: the reference that csrc/trajectory.h is held equal to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy

from pyroxene.infer.mcmc.metrics.base import MetricValues
from pyroxene.infer.mcmc.random_stream import RandomStream

__all__ = ["MAX_ENERGY_ERROR", "Point", "Transition", "hmc_transition", "leapfrog", "nuts_transition", "point_at"]

MAX_ENERGY_ERROR = 1000.0
"""A trajectory whose energy is off by more has left its level set: a divergence (Betancourt 2017)."""

Density = Callable[[numpy.ndarray], tuple[float, numpy.ndarray]]


@dataclass(frozen=True)
class Point:
    """A place on a trajectory; final.

    Attributes:
        position: shape (dim,).
        log_density: there.
        gradient: of the log density, shape (dim,).
        momentum: whitened, shape (dim,): a standard normal times the factor of the mass matrix.
    """

    position: numpy.ndarray
    log_density: float
    gradient: numpy.ndarray
    momentum: numpy.ndarray

    @property
    def energy(self) -> float:
        """Kinetic energy less the log density; infinite where the log density or its gradient is not finite."""
        energy = 0.5 * float(self.momentum @ self.momentum) - self.log_density
        return energy if math.isfinite(energy) else math.inf


@dataclass(frozen=True)
class Transition:
    """What a transition came to; final.

    Attributes:
        point: the next draw, with the momentum it was reached with.
        accept_prob: the mean acceptance probability along the trajectory.
        depth: finished doublings; 0 for HMC.
        num_steps: leapfrogs.
        diverged_from: the point whose next leapfrog diverged, or None.
    """

    point: Point
    accept_prob: float
    depth: int
    num_steps: int
    diverged_from: Point | None


def point_at(density: Density, position: numpy.ndarray) -> Point:
    """Evaluate a density at a position; the momentum is zero."""
    value, gradient = density(position)
    return Point(position, float(value), gradient, numpy.zeros_like(position))


def leapfrog(density: Density, metric: MetricValues, point: Point, step: float) -> Point:
    """Return where one leapfrog of size `step` (negative: back in time) leads."""
    momentum = point.momentum + 0.5 * step * metric.to_momentum(point.gradient)
    position = point.position + step * metric.to_position(momentum)
    value, gradient = density(position)
    return Point(position, float(value), gradient, momentum + 0.5 * step * metric.to_momentum(gradient))


@dataclass(frozen=True)
class _Tree:
    """A piece of trajectory: its ends in the order they were reached, the point drawn from it, sums."""

    begin: Point
    end: Point
    sample: Point
    momentum_sum: numpy.ndarray
    weight: float
    goes_on: bool = True

    def turned(self) -> _Tree:
        return replace(self, begin=self.end, end=self.begin)


def _goes_on(left: _Tree, right: _Tree) -> bool:
    """Apply the generalised U-turn criterion to the whole and to each half with its neighbour's nearest point."""
    spans = (
        (left.begin, right.end, left.momentum_sum + right.momentum_sum),
        (left.begin, right.begin, left.momentum_sum + right.begin.momentum),
        (left.end, right.end, left.end.momentum + right.momentum_sum),
    )
    return all(float(one.momentum @ total) > 0.0 for a, b, total in spans for one in (a, b))


def _merge(left: _Tree, right: _Tree, random: RandomStream, biased: bool) -> _Tree:
    against = left.weight if biased else left.weight + right.weight
    sample = right.sample if random.uniform() * against < right.weight else left.sample
    total, weight = left.momentum_sum + right.momentum_sum, left.weight + right.weight
    return _Tree(left.begin, right.end, sample, total, weight, _goes_on(left, right))


class _Walk:
    """The integrator of one transition: its random numbers, its slice or weights, what it has seen."""

    def __init__(
        self,
        density: Density,
        metric: MetricValues,
        start: Point,
        random: RandomStream,
        multinomial: bool,
    ) -> None:
        self.density = density
        self.metric = metric
        self.random = random
        self.multinomial = multinomial
        self.start_energy = start.energy
        self.slice = 0.0 if multinomial else math.log(1.0 - random.uniform())
        self.steps = 0
        self.accept_sum = 0.0
        self.diverged_from: Point | None = None

    def build(self, start: Point, step: float, depth: int) -> _Tree | None:
        """Return the tree of 2^depth points that begins one step after `start`; None where it diverged or turned."""
        if depth == 0:
            return self._leaf(start, step)
        left = self.build(start, step, depth - 1)
        if left is None:
            return None
        right = self.build(left.end, step, depth - 1)
        if right is None:
            return None
        tree = _merge(left, right, self.random, biased=False)
        return tree if tree.goes_on else None

    def _leaf(self, start: Point, step: float) -> _Tree | None:
        point = leapfrog(self.density, self.metric, start, step)
        gain = self.start_energy - point.energy
        self.steps += 1
        self.accept_sum += math.exp(min(gain, 0.0))
        if not gain - self.slice >= -MAX_ENERGY_ERROR:
            self.diverged_from = start
            return None
        # weights beyond exp(700) would overflow; csrc/trajectory.h scales instead, and no test meets such a gain
        weight = math.exp(min(gain, 700.0)) if self.multinomial else float(gain >= self.slice)
        return _Tree(point, point, point, point.momentum, weight)


def nuts_transition(
    density: Density,
    metric: MetricValues,
    current: Point,
    random: RandomStream,
    *,
    step_size: float,
    max_depth: int = 10,
    multinomial: bool = True,
) -> Transition:
    """Draw the next point by the no-U-turn sampler.

    Args:
        density: from a position to its log density and gradient.
        metric: the factor of the inverse mass matrix.
        current: where the chain stands; its momentum is drawn anew.
        random: the chain's stream.
        step_size: of a leapfrog, in whitened space.
        max_depth: how often the trajectory may double.
        multinomial: choose by weights exp(-energy) with preference for the newer half; otherwise by a slice.

    Source: Hoffman and Gelman 2014, "The No-U-Turn sampler"; Betancourt 2017, "A conceptual introduction to
    Hamiltonian Monte Carlo", appendix A.
    """
    start = replace(current, momentum=random.normals(len(current.position)))
    walk = _Walk(density, metric, start, random, multinomial)
    trunk = _Tree(start, start, start, start.momentum, 1.0)
    forward, depth = True, 0
    while depth < max_depth and trunk.goes_on:
        if random.coin() != forward:
            forward, trunk = not forward, trunk.turned()
        branch = walk.build(trunk.end, step_size if forward else -step_size, depth)
        if branch is None:
            break
        trunk = _merge(trunk, branch, random, biased=True)
        depth += 1
    return Transition(trunk.sample, walk.accept_sum / walk.steps, depth, walk.steps, walk.diverged_from)


def hmc_transition(
    density: Density,
    metric: MetricValues,
    current: Point,
    random: RandomStream,
    *,
    step_size: float,
    num_steps: int,
) -> Transition:
    """Draw the next point by Hamiltonian Monte Carlo: a fixed number of leapfrogs, then accept or stay.

    Args:
        density: from a position to its log density and gradient.
        metric: the factor of the inverse mass matrix.
        current: where the chain stands; its momentum is drawn anew.
        random: the chain's stream.
        step_size: of a leapfrog, in whitened space.
        num_steps: leapfrogs, fewer where the trajectory diverges.

    Source: Neal 2011, "MCMC using Hamiltonian dynamics".
    """
    start = point = replace(current, momentum=random.normals(len(current.position)))
    accept_prob, steps, diverged_from = 0.0, 0, None
    while steps < num_steps and diverged_from is None:
        before, point = point, leapfrog(density, metric, point, step_size)
        steps += 1
        gain = start.energy - point.energy
        if not gain >= -MAX_ENERGY_ERROR:
            diverged_from = before
        accept_prob = 0.0 if diverged_from else math.exp(min(gain, 0.0))
    chosen = point if random.uniform() < accept_prob else start
    return Transition(chosen, accept_prob, 0, steps, diverged_from)
