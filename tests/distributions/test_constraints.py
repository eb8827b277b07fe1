"""Constraints: checks on known values, batch shapes, pickling, and the names that are kept."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms import biject_to

SINGLETONS = {
    name: getattr(constraints, name)
    for name in constraints.__all__
    if isinstance(getattr(constraints, name), constraints.Constraint)
    and not isinstance(getattr(constraints, name), type)
}
OURS = {name: thing for name, thing in SINGLETONS.items() if type(thing).__module__ == constraints.__name__}

EYE = [[1.0, 0.0], [0.0, 1.0]]
nan = float("nan")
CASES: list[tuple[str, object, bool]] = [
    ("integer", -3.0, True),
    ("integer", 0.5, False),
    ("integer", nan, False),
    ("ordered_vector", [-1.0, 0.0, 2.0], True),
    ("ordered_vector", [0.0, 0.0, 2.0], False),
    ("ordered_vector", [1.0, 0.0], False),
    ("ordered_vector", [0.0, nan], False),
    ("ordered_vector", [nan], False),
    ("ordered_vector", [5.0], True),
    ("positive_ordered_vector", [0.1, 0.2], True),
    ("positive_ordered_vector", [-0.1, 0.2], False),
    ("positive_ordered_vector", [0.0, 0.2], False),
    ("positive_ordered_vector", [0.2, 0.1], False),
    ("sphere", [0.6, -0.8], True),
    ("sphere", [0.6, 0.81], False),
    ("sphere", [nan, 1.0], False),
    ("corr_matrix", EYE, True),
    ("corr_matrix", [[1.0, 0.9], [0.9, 1.0]], True),
    ("corr_matrix", [[1.0, 1.1], [1.1, 1.0]], False),
    ("corr_matrix", [[1.0, 0.5], [0.4, 1.0]], False),
    ("corr_matrix", [[1.0, 0.5], [0.5, 1.1]], False),
    ("unit_lower_cholesky", [[1.0, 0.0], [5.0, 1.0]], True),
    ("unit_lower_cholesky", [[1.0, 0.0], [5.0, 2.0]], False),
    ("unit_lower_cholesky", [[1.0, 0.1], [5.0, 1.0]], False),
    ("softplus_positive", 0.1, True),
    ("softplus_positive", 0.0, False),
    ("softplus_positive", nan, False),
    ("softplus_lower_cholesky", [[2.0, 0.0], [5.0, 0.1]], True),
    ("softplus_lower_cholesky", [[2.0, 0.0], [5.0, -0.1]], False),
    ("softplus_lower_cholesky", [[2.0, 1.0], [5.0, 0.1]], False),
    ("corr_cholesky_constraint", [[1.0, 0.0], [0.6, 0.8]], True),
    ("corr_cholesky_constraint", [[1.0, 0.0], [0.6, 0.9]], False),
]


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_check(name: str, value: object, expected: bool, dtype: torch.dtype) -> None:
    constraint = SINGLETONS[name]
    event = torch.tensor(value, dtype=dtype)
    assert constraint.event_dim == event.dim()
    actual = constraint.check(event)
    assert actual.shape == () and actual.dtype == torch.bool and bool(actual) is expected
    batch = event.expand((2, 3, *event.shape))
    assert constraint.check(batch).shape == (2, 3)
    assert (constraint.check(batch) == expected).all()


def test_check_says_which_of_a_batch_is_wrong() -> None:
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert constraints.ordered_vector.check(values).tolist() == [True, False]
    matrices = torch.tensor([EYE, [[1.0, 0.0], [0.0, 2.0]]])
    assert constraints.corr_matrix.check(matrices).tolist() == [True, False]


@pytest.mark.parametrize("name", ["corr_matrix", "sphere", "corr_cholesky"])
def test_float32_rounding_is_allowed(name: str) -> None:
    torch.manual_seed(0)
    constraint = SINGLETONS[name]
    value = biject_to(constraint)(torch.randn(20, 190) * 0.3)  # 20 x 20 matrices
    assert constraint.check(value).all()


@pytest.mark.parametrize("name", SINGLETONS)
def test_singletons_stay_themselves(name: str) -> None:
    constraint = SINGLETONS[name]
    for clone in (pickle.loads(pickle.dumps(constraint)), copy.deepcopy(constraint), copy.copy(constraint)):
        assert clone == constraint and hash(clone) == hash(constraint)
        assert repr(clone) == repr(constraint)
    assert constraint == constraint and constraint != object()


@pytest.mark.parametrize("name", OURS)
def test_ours_say_what_they_are(name: str) -> None:
    constraint = OURS[name]
    assert repr(constraint).startswith(name.title().replace("_", ""))
    assert constraint.is_discrete is (name == "integer")
    assert isinstance(constraint.event_dim, int)
    assert all(constraint != other for key, other in OURS.items() if key != name)


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.greater_than(2.0),
        constraints.interval(torch.tensor(0.0), torch.tensor([1.0, 2.0])),
        constraints.independent(constraints.ordered_vector, 1),
        constraints.stack([constraints.positive, constraints.softplus_positive], dim=-1),
        constraints.cat([constraints.real, constraints.positive], dim=-1, lengths=[1, 1]),
        constraints.integer_interval(0, 4),
        constraints.MixtureSameFamilyConstraint(constraints.real),
    ],
    ids=repr,
)
def test_constraints_with_arguments_pickle(constraint: constraints.Constraint) -> None:
    value = torch.tensor([[0.25, 0.75], [0.5, 0.7]])
    for clone in (pickle.loads(pickle.dumps(constraint)), copy.deepcopy(constraint)):
        assert repr(clone) == repr(constraint)
        assert torch.equal(clone.check(value), constraint.check(value))


def test_pickles_of_torch_constraints_need_only_torch() -> None:
    stored = pickle.dumps([constraints.positive, constraints.simplex, constraints.greater_than(1.0)])
    assert b"pyroxene" not in stored
    program = (
        "import pickle, sys; from torch.distributions import constraints as c;"
        "p, s, g = pickle.loads(sys.stdin.buffer.read());"
        "assert p is c.positive and s is c.simplex and g.lower_bound == 1.0"
    )
    subprocess.run([sys.executable, "-c", program], input=stored, check=True)


def test_torch_names_are_torch_objects() -> None:
    for name in torch.distributions.constraints.__all__:
        assert getattr(constraints, name) is getattr(torch.distributions.constraints, name)


def test_softplus_constraints_count_as_what_they_refine() -> None:
    assert isinstance(constraints.softplus_positive, type(constraints.positive))
    assert isinstance(constraints.softplus_lower_cholesky, type(constraints.lower_cholesky))
    assert constraints.softplus_positive.lower_bound == 0.0


def test_checks_work_under_vmap() -> None:
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert torch.vmap(constraints.ordered_vector.check)(values).tolist() == [True, False]
    assert torch.vmap(constraints.sphere.check)(values).tolist() == [True, True]


def test_gradients_are_not_needed() -> None:
    value: Tensor = torch.eye(3, requires_grad=True)
    assert constraints.corr_matrix.check(value) and constraints.unit_lower_cholesky.check(value)
