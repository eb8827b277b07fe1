"""NumPyro's constraints: what they allow, and that their bijections reach it with the right log-Jacobian."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from pyroxene.distributions import peer_constraints as peers
from pyroxene.distributions.transforms import biject_to, transform_to
from pyroxene.distributions.transforms import peer_registrations as _rows
from pyroxene.distributions.transforms.zero_sum import ZeroSumTransform
from pyroxene.errors import NoTransformError, ShapeError, UsageError

F64 = torch.float64
assert _rows is not None  # imported for its effect

REACHED = {
    "zero_sum": (peers.zero_sum(1), (5,), 4),
    "zero_sum_2": (peers.zero_sum(2), (3, 4), 6),
    "l1_ball": (peers.l1_ball, (4,), 4),
    "circular": (peers.circular, (), 1),
    "real_matrix": (peers.real_matrix, (2, 3), 6),
    "scaled": (peers.scaled_unit_lower_cholesky, (3, 3), 6),
    "complex": (peers.complex, (), 2),
}


def start(transform, shape, dtype, batch=()):
    torch.manual_seed(7)
    return torch.randn(batch + tuple(transform.inverse_shape(torch.Size(shape))), dtype=dtype)


@pytest.mark.parametrize("name", REACHED)
@pytest.mark.parametrize("registry", [biject_to, transform_to], ids=["biject_to", "transform_to"])
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 8.0])
def test_round_trips(name, registry, dtype, spread):
    constraint, shape, _ = REACHED[name]
    transform = registry(constraint)
    x = spread * start(transform, shape, dtype, (6,))
    y = transform(x)
    assert y.shape == (6, *shape) == transform.forward_shape(x.shape)
    assert constraint.check(y).all() and constraint.check(y).shape == (6, *shape)[: y.dim() - constraint.event_dim]
    again = registry(constraint)._inverse(y) if not hasattr(transform, "parts") else transform.inv(y)
    torch.testing.assert_close(transform(again), y, rtol=1e-4, atol=1e-5)
    if spread < 8:
        torch.testing.assert_close(again, x, rtol=1e-3 if dtype == torch.float32 else 1e-9, atol=1e-6)


@pytest.mark.parametrize("name", sorted(REACHED.keys() - {"zero_sum", "zero_sum_2", "complex"}))
def test_log_jacobians_against_autograd(name):
    constraint, shape, free = REACHED[name]
    transform = biject_to(constraint)
    x = start(transform, shape, F64)
    entries = torch.tril_indices(3, 3) if name == "scaled" else None

    def flat(x):
        y = transform(x)
        return (y if entries is None else y[entries[0], entries[1]]).reshape(-1)

    jacobian = torch.autograd.functional.jacobian(flat, x).reshape(free, free)
    result = transform.log_abs_det_jacobian(x, transform(x))
    torch.testing.assert_close(result.sum(), torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("name", ["zero_sum", "zero_sum_2"])
def test_zero_sum_is_an_isometry(name):
    """J^T J is the identity, so the log-Jacobian with respect to lengths in the subspace is zero."""
    constraint, shape, free = REACHED[name]
    transform = biject_to(constraint)
    x = start(transform, shape, F64)
    jacobian = torch.autograd.functional.jacobian(transform, x).reshape(-1, free)
    torch.testing.assert_close(jacobian.mT @ jacobian, torch.eye(free, dtype=F64))
    assert transform.log_abs_det_jacobian(x, transform(x)).item() == 0


def test_values_of_numpyro():
    """Those of numpyro 0.22.0 for the same unconstrained vector."""
    x = torch.tensor([0.3, -1.2, 2.0], dtype=F64)
    close = {"rtol": 1e-6, "atol": 1e-6}
    for constraint, value, log_jacobian in [
        (peers.l1_ball, [0.2913126, -0.5908005, 0.11364623], -6.4084353),
        (peers.scaled_unit_lower_cholesky, [[0.26328245, 0.0], [0.63807845, 2.126928]], -0.8355317),
        (peers.zero_sum(1), [0.11666669, -1.3833333, 1.8166667, -0.54999995], 0.0),
        (peers.circular, [0.467736, -1.687191, 2.3926184], [0.42916656, 0.11131215, -0.41597915]),
    ]:
        transform = biject_to(constraint)
        y = transform(x)
        torch.testing.assert_close(y, torch.tensor(value, dtype=F64), **close)
        log = transform.log_abs_det_jacobian(x, y)
        torch.testing.assert_close(log, torch.tensor(log_jacobian, dtype=F64), **close)


def test_l1_ball_is_finite_far_out():
    for dtype in (torch.float32, F64):
        x = torch.tensor([30.0, -30.0, 5.0], dtype=dtype, requires_grad=True)
        transform = biject_to(peers.l1_ball)
        log = transform.log_abs_det_jacobian(x, transform(x))
        log.backward()
        assert log.isfinite() and x.grad.isfinite().all()
        edge = torch.tensor([1.0, 0.0, 0.0], dtype=dtype)
        assert transform.inv(edge).isfinite().all()


CHECKS = [
    (peers.zero_sum(1), [1.0, -3.0, 2.0], True),
    (peers.zero_sum(1), [1.0, -3.0, 2.1], False),
    (peers.zero_sum(1), [math.nan, -3.0, 2.0], False),
    (peers.zero_sum(2), [[1.0, -1.0], [-1.0, 1.0]], True),
    (peers.zero_sum(2), [[1.0, -1.0], [1.0, -1.0]], False),
    (peers.l1_ball, [0.5, -0.5], True),
    (peers.l1_ball, [0.5, -0.6], False),
    (peers.circular, math.pi, True),
    (peers.circular, -3.2, False),
    (peers.circular, math.nan, False),
    (peers.integer_greater_than(2), 2.0, True),
    (peers.integer_greater_than(2), 2.5, False),
    (peers.integer_greater_than(2), 1.0, False),
    (peers.positive_definite_circulant_vector, [2.0, 0.5, 0.2, 0.5], True),
    (peers.positive_definite_circulant_vector, [2.0, 0.5, 0.2, 0.4], False),
    (peers.positive_definite_circulant_vector, [1.0, 0.9, 0.1, 0.9], False),
    (peers.scaled_unit_lower_cholesky, [[2.0, 0.0], [5.0, 1.0]], True),
    (peers.scaled_unit_lower_cholesky, [[2.0, 0.0], [5.0, -1.0]], False),
    (peers.real_matrix, [[2.0, 0.0], [5.0, math.nan]], False),
]


@pytest.mark.parametrize(("constraint", "value", "allowed"), CHECKS)
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_what_is_allowed(constraint, value, allowed, dtype):
    assert constraint.check(torch.tensor(value, dtype=dtype)).item() is allowed


def test_complex_numbers_alone_are_complex():
    assert peers.complex.check(torch.tensor([1 + 2j, complex(math.nan, 0)])).tolist() == [True, False]
    assert not peers.complex.check(torch.ones(2)).any()


@pytest.mark.parametrize(
    "constraint",
    [peers.zero_sum(2), peers.l1_ball, peers.circular, peers.real_matrix, peers.integer_greater_than(3)],
)
def test_copies_are_equal(constraint):
    for twin in (copy.deepcopy(constraint), pickle.loads(pickle.dumps(constraint))):
        assert twin == constraint and hash(twin) == hash(constraint)
    assert constraint != peers.zero_sum(3)


def test_refusals():
    with pytest.raises(NoTransformError):
        biject_to(peers.positive_definite_circulant_vector)
    with pytest.raises(NoTransformError, match="discrete"):
        biject_to(peers.integer_greater_than(2))
    with pytest.raises(UsageError):
        ZeroSumTransform(0)
    with pytest.raises(ShapeError):
        ZeroSumTransform(2).forward_shape(torch.Size((3,)))
    with pytest.raises(ShapeError):
        biject_to(peers.scaled_unit_lower_cholesky).inverse_shape(torch.Size((2, 3)))
