"""Every class's log density and its gradient as machine code, against eager: the contract's tables, one case a class.

A log density is a function of all real numbers that the case has: each tensor among the parameters that is not a count,
and the value where the class is continuous. Matrices go through their constraint's bijection, so that a symmetric one
stays symmetric.
"""

from __future__ import annotations

import re

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.precision import double_precision
from pyroxene.distributions import biject_to, constraints
from pyroxene.errors import CaptureError
from tests.distributions.test_contract import CASES

torch.set_num_threads(1)

# torch's Wishart takes samples for singular that are not, warns, and draws again
pytestmark = pytest.mark.filterwarnings("ignore:Singular sample detected:UserWarning")

GAMMA = "Tensor.numpy()"
BRANCH = "depends on the value of an unknown"
UNROLLED = "unrolls to more than"
FALL_BACK = {
    "GaussianCopulaBeta": GAMMA,
    "LeftTruncatedGamma": GAMMA,
    "RightCensoredDistribution": GAMMA,
    "RightTruncatedGamma": GAMMA,
    "StableWithLogProb": UNROLLED,
    "TruncatedDistribution": GAMMA,
    "TruncatedGamma": GAMMA,
    "TwoSidedTruncatedGamma": GAMMA,
    "Wishart": BRANCH,
}
"""Classes that run eagerly, and why in the words of the error: the incomplete gamma function's derivative by its shape
is computed by scipy, Stable's integral is a sum over more points than a graph may have operations, and torch's Wishart
raises by an `if` on its degrees of freedom, validated or not."""

NOTHING_REAL = {"DiscreteUniform", "HyperGeometric"}
"""Classes whose parameters and values are all integers: there is nothing to take a gradient by."""

TOLERANCE = 1e-10
ONE_A_CLASS = {each.values[0].cls.__name__: each.values[0] for each in reversed(CASES)}


def is_count(constraint):
    """Whether a constraint is known to be one of integers."""
    try:
        return constraint is not None and constraint.is_discrete
    except NotImplementedError:  # it depends on arguments
        return False


def through(tensor, constraint):
    """A tensor as real numbers, and the way back."""
    if constraint in (constraints.positive_definite, constraints.corr_matrix):
        bijection = biject_to(constraint)
        return bijection.inv(tensor), bijection
    return tensor, lambda real: real


def scalar_function(case):
    """Make log density a function of one vector, weighted so that each element matters; and give the vector."""
    parameters = case.parameters((2,))
    made = case.cls(**parameters)
    value = made.sample()
    pieces = {}
    for name, parameter in parameters.items():
        constraint = made.arg_constraints.get(name)
        if isinstance(parameter, torch.Tensor) and parameter.is_floating_point() and not is_count(constraint):
            pieces[name] = through(parameter, constraint)
    if value.is_floating_point() and not is_count(made.support):
        pieces["value"] = through(value, made.support)
    shapes = {name: real.shape for name, (real, _) in pieces.items()}
    vector = torch.cat([torch.empty(0, dtype=torch.float64), *(real.reshape(-1) for real, _ in pieces.values())])

    def function(z):
        parts = z.split([shape.numel() for shape in shapes.values()])
        given = {name: pieces[name][1](part.reshape(shape)) for (name, shape), part in zip(shapes.items(), parts)}
        at = given.pop("value", value)
        return (case.cls(**{**parameters, **given}).log_prob(at) * torch.tensor([0.7, 1.3])).sum()

    return function, vector


def compiled(case):
    """A case's function, its vector, and the native engine's function."""
    function, z = scalar_function(case)
    with dist.validation_enabled(False):
        return function, z, NativeFunction(gradient_graph(function, z))


@pytest.mark.parametrize("name", [name for name in ONE_A_CLASS if name not in {*FALL_BACK, *NOTHING_REAL}])
def test_native_density_is_the_eager_one(name):
    function, z, native = compiled(ONE_A_CLASS[name])
    leaf = z.clone().requires_grad_()
    with double_precision(), dist.validation_enabled(False):
        expected = function(leaf)
        (expected_gradient,) = torch.autograd.grad(expected + 0.0 * leaf.sum(), leaf)  # Delta's has none
    value, gradient = native.value_and_grad(z)
    assert expected_gradient.isfinite().all()
    assert (value - expected).abs() <= TOLERANCE * max(1.0, expected.abs().item())
    assert (gradient - expected_gradient).abs().max() <= TOLERANCE * max(1.0, expected_gradient.abs().max().item())


@pytest.mark.parametrize("name", FALL_BACK)
def test_what_falls_back_is_still_missing(name):
    with pytest.raises(CaptureError, match=re.escape(FALL_BACK[name])):
        compiled(ONE_A_CLASS[name])


def test_what_has_nothing_real_is_known():
    assert {name for name, case in ONE_A_CLASS.items() if not scalar_function(case)[1].numel()} == NOTHING_REAL
