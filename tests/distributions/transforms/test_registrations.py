"""biject_to and transform_to over all constraints, the supports of torch's distributions, and nested constraints."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
import torch.distributions as td
from torch import Tensor

from pyroxene.distributions import constraints
from pyroxene.distributions import transforms as T
from pyroxene.distributions.transforms import biject_to, transform_to
from pyroxene.errors import NoTransformError

VECTOR = (torch.tensor([-1.0, 2.0, 5.0]), torch.tensor([0.5, 4.0, 6.0]))
positive, simplex = constraints.positive, constraints.simplex

# name: (constraint, shape of one constrained value)
CONSTRAINTS: dict[str, tuple[constraints.Constraint, tuple[int, ...]]] = {
    "real": (constraints.real, ()),
    "real_vector": (constraints.real_vector, (3,)),
    "positive": (positive, ()),
    "nonnegative": (constraints.nonnegative, ()),
    "softplus_positive": (constraints.softplus_positive, ()),
    "unit_interval": (constraints.unit_interval, ()),
    "greater_than": (constraints.greater_than(-2.0), ()),
    "greater_than_vector": (constraints.greater_than(VECTOR[0]), (3,)),
    "greater_than_eq": (constraints.greater_than_eq(torch.tensor(3.0)), ()),
    "less_than": (constraints.less_than(VECTOR[1]), (3,)),
    "interval": (constraints.interval(*VECTOR), (3,)),
    "interval_number": (constraints.interval(-1, 1), ()),
    "half_open_interval": (constraints.half_open_interval(0.0, 2.0), ()),
    "simplex": (simplex, (4,)),
    "ordered_vector": (constraints.ordered_vector, (4,)),
    "positive_ordered_vector": (constraints.positive_ordered_vector, (4,)),
    "sphere": (constraints.sphere, (4,)),
    "corr_cholesky": (constraints.corr_cholesky, (3, 3)),
    "corr_matrix": (constraints.corr_matrix, (3, 3)),
    "lower_cholesky": (constraints.lower_cholesky, (3, 3)),
    "softplus_lower_cholesky": (constraints.softplus_lower_cholesky, (3, 3)),
    "unit_lower_cholesky": (constraints.unit_lower_cholesky, (3, 3)),
    "lower_triangular": (constraints.lower_triangular, (3, 3)),
    "positive_definite": (constraints.positive_definite, (3, 3)),
    "positive_semidefinite": (constraints.positive_semidefinite, (3, 3)),
    "square": (constraints.square, (3, 3)),
    "symmetric": (constraints.symmetric, (3, 3)),
    "independent": (constraints.independent(positive, 2), (2, 3)),
    "independent_simplex": (constraints.independent(simplex, 1), (2, 3)),
    "independent_twice": (constraints.independent(constraints.independent(positive, 1), 1), (2, 3)),
    "independent_corr": (constraints.independent(constraints.corr_matrix, 1), (2, 3, 3)),
    "stack": (constraints.stack([positive, constraints.real, constraints.interval(0.0, 9.0)], dim=-1), (3,)),
    "stack_first": (constraints.stack([positive, constraints.softplus_positive], dim=0), (2, 3)),
    "stack_simplex": (constraints.stack([simplex, simplex], dim=0), (2, 4)),
    "independent_stack": (constraints.independent(constraints.stack([positive, constraints.real], dim=0), 2), (2, 3)),
    "cat": (constraints.cat([positive, constraints.unit_interval], dim=-1, lengths=[2, 3]), (5,)),
    "cat_independent": (constraints.independent(constraints.cat([positive, constraints.real], -1, [1, 2]), 1), (3,)),
    "mixture": (constraints.MixtureSameFamilyConstraint(positive), ()),
    "mixture_bounds": (
        constraints.MixtureSameFamilyConstraint(constraints.interval(torch.zeros(3), torch.tensor([4.0, 5.0, 6.0]))),
        (),
    ),
}
NOT_BIJECTIVE = {"sphere"}
POSITIONAL = {"stack_first", "stack_simplex", "independent_stack"}  # dim=0 admits no batch on the left


def unconstrained(transform: T.Transform, shape: tuple[int, ...], batch: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    torch.manual_seed(11)
    return torch.randn(batch + tuple(transform.inverse_shape(torch.Size(shape))), dtype=dtype)


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("registry", [biject_to, transform_to], ids=["biject_to", "transform_to"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_constraint_is_reached(name: str, registry: T.registry.Registry, dtype: torch.dtype) -> None:
    constraint, shape = CONSTRAINTS[name]
    transform = registry(constraint)
    x = unconstrained(transform, shape, (), dtype)
    y = transform(x)
    assert y.shape == shape
    assert constraint.check(y).all()
    rough = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(transform(transform.inv(y)), y, **rough)
    if registry is biject_to and name not in NOT_BIJECTIVE:
        assert transform.bijective
        torch.testing.assert_close(transform.inv(y), x, **rough)
        torch.testing.assert_close(transform.inv(y).shape, transform.inverse_shape(y.shape))


@pytest.mark.parametrize("name", sorted(CONSTRAINTS.keys() - NOT_BIJECTIVE - POSITIONAL))
def test_bijections_have_log_jacobians_per_batch_entry(name: str) -> None:
    constraint, shape = CONSTRAINTS[name]
    transform = biject_to(constraint)
    x = unconstrained(transform, shape, (2,), torch.float64)
    y = transform(x)
    result = transform.log_abs_det_jacobian(x, y)
    assert result.isfinite().all()
    assert result.shape == x.shape[: x.dim() - transform.domain.event_dim]
    torch.testing.assert_close(transform.inv.log_abs_det_jacobian(y, x), -result)


def test_known_transforms() -> None:
    assert isinstance(biject_to(constraints.positive), T.ExpTransform)
    assert isinstance(transform_to(constraints.softplus_positive), T.SoftplusTransform)
    assert isinstance(biject_to(constraints.unit_interval), T.SigmoidTransform)
    assert isinstance(biject_to(constraints.simplex), T.StickBreakingTransform)
    assert isinstance(transform_to(constraints.simplex), T.SoftmaxTransform)
    assert isinstance(transform_to(constraints.sphere), T.Normalize)
    assert isinstance(biject_to(constraints.sphere), T.Normalize)
    assert biject_to(constraints.corr_matrix).parts[0] == T.CorrCholeskyTransform()


def mixture(component: td.Distribution) -> td.Distribution:
    return td.MixtureSameFamily(td.Categorical(torch.ones(component.batch_shape)), component)


one, many = torch.tensor(1.5), torch.tensor([0.5, 1.0, 2.0])
matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
CONTINUOUS = [
    td.Beta(one, many),
    td.Cauchy(many, 1.0),
    td.Chi2(many),
    td.ContinuousBernoulli(torch.tensor([0.2, 0.7])),
    td.Dirichlet(many),
    td.Exponential(many),
    td.FisherSnedecor(many, 3.0),
    td.Gamma(many, 1.0),
    td.Gumbel(many, 1.0),
    td.HalfCauchy(many),
    td.HalfNormal(many),
    td.Independent(td.Gamma(many, 1.0), 1),
    td.InverseGamma(many, 1.0),
    td.Kumaraswamy(one, many),
    td.LKJCholesky(3, 1.0),
    td.Laplace(many, 1.0),
    td.LogNormal(many, 1.0),
    td.LogisticNormal(torch.zeros(3), torch.ones(3)),
    td.LowRankMultivariateNormal(torch.zeros(3), torch.ones(3, 1), torch.ones(3)),
    mixture(td.Normal(torch.zeros(3), 1.0)),
    mixture(td.Uniform(torch.zeros(2, 3), torch.tensor([[4.0], [5.0]]))),
    mixture(td.Independent(td.Gamma(torch.ones(3, 2), 1.0), 1)),
    td.MultivariateNormal(torch.zeros(2), matrix),
    td.Normal(many, 1.0),
    td.Pareto(many, 1.0),
    td.RelaxedBernoulli(one, torch.tensor([0.2, 0.7])),
    td.RelaxedOneHotCategorical(one, torch.tensor([0.2, 0.3, 0.5])),
    td.StudentT(many, 0.0, 1.0),
    td.TransformedDistribution(td.Normal(many, 1.0), [T.SigmoidTransform(), T.AffineTransform(1.0, 2.0)]),
    td.Uniform(many, many + 2.0),
    td.VonMises(many, 1.0),
    td.Weibull(many, 1.0),
    td.Wishart(torch.tensor(9.0), matrix),
]
if hasattr(td, "GeneralizedPareto"):  # from torch 2.13 on
    CONTINUOUS += [td.GeneralizedPareto(many, 1.0, -0.5)]  # else torch calls a half line an interval up to infinity
DISCRETE = [
    td.Bernoulli(0.5),
    td.Binomial(3, torch.tensor(0.5)),
    td.Categorical(torch.ones(3)),
    td.Geometric(0.5),
    td.Multinomial(3, torch.ones(2)),
    td.NegativeBinomial(3.0, 0.5),
    td.OneHotCategorical(torch.ones(3)),
    td.Poisson(1.0),
]


def test_the_table_holds_every_distribution_of_torch() -> None:
    abstract = {"Distribution", "ExponentialFamily", "TransformedDistribution", "Independent", "MixtureSameFamily"}
    exported = {
        name
        for name in td.__all__
        if isinstance(getattr(td, name), type) and issubclass(getattr(td, name), td.Distribution)
    }
    covered = {type(fn).__name__ for fn in CONTINUOUS + DISCRETE}
    assert exported - abstract - covered <= {"OneHotCategoricalStraightThrough"}


@pytest.mark.filterwarnings("ignore:Singular sample")  # Wishart draws again where a sample is singular
@pytest.mark.parametrize("fn", CONTINUOUS, ids=lambda fn: type(fn).__name__)
def test_supports_of_torch(fn: td.Distribution) -> None:
    torch.manual_seed(5)
    transform = biject_to(fn.support)
    value = fn.sample((4,))
    x = transform.inv(value)
    assert x.isfinite().all()
    assert x.shape == transform.inverse_shape(value.shape)
    torch.testing.assert_close(transform(x), value, rtol=2e-3, atol=1e-4)
    far = transform(torch.randn_like(x) * 2)
    assert fn.support.check(far).all()
    log_jacobian = transform.log_abs_det_jacobian(x, value)
    dims = log_jacobian.dim() - 1 - len(fn.batch_shape)
    assert dims >= 0 and log_jacobian.shape[: 1 + len(fn.batch_shape)] == (4, *fn.batch_shape)
    assert log_jacobian.isfinite().all()


@pytest.mark.parametrize("fn", DISCRETE, ids=lambda fn: type(fn).__name__)
def test_discrete_supports_have_no_transform(fn: td.Distribution) -> None:
    for registry in (biject_to, transform_to):
        with pytest.raises(NotImplementedError, match="Cannot transform") as caught:
            registry(fn.support)
        assert isinstance(caught.value, NoTransformError) and "discrete" in str(caught.value)


def test_a_dependent_constraint_has_no_transform() -> None:
    with pytest.raises(NoTransformError, match="instance of the distribution"):
        biject_to(constraints.dependent)


class _Even(constraints.Constraint):
    """A user's constraint."""


def test_users_register_their_constraints() -> None:
    with pytest.raises(NoTransformError, match="register a factory"):
        biject_to(_Even())

    @biject_to.register(_Even)
    def reach(constraint: _Even) -> T.Transform:
        return T.ExpTransform()

    assert isinstance(biject_to(_Even()), T.ExpTransform)
    assert isinstance(td.biject_to(_Even()), T.ExpTransform)
    td.transform_to.register(_Even, lambda constraint: T.SigmoidTransform())
    assert isinstance(transform_to(_Even()), T.SigmoidTransform)
    for base in (td.biject_to, td.transform_to):
        del base._registry[_Even]


def test_a_row_replaced_in_torchs_registry_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(constraints.positive)
    monkeypatch.setitem(td.transform_to._registry, kind, lambda constraint: T.SoftplusTransform())
    assert isinstance(transform_to(constraints.positive), T.SoftplusTransform)
    monkeypatch.undo()
    assert isinstance(transform_to(constraints.positive), T.ExpTransform)


def test_only_constraints_register() -> None:
    with pytest.raises(TypeError, match="Constraint"):
        biject_to.register(int, lambda constraint: T.ExpTransform())


@pytest.mark.parametrize("name", ["ordered_vector", "corr_matrix", "softplus_positive", "sphere"])
def test_torch_registries_know_our_constraints(name: str) -> None:
    constraint = getattr(constraints, name)
    assert td.transform_to(constraint) == transform_to(constraint)
    nested = td.biject_to(constraints.independent(constraint, 1))
    assert nested.base_transform == biject_to(constraint)


def test_torch_is_not_patched() -> None:
    """Importing the transforms leaves torch's classes and its rows for its own constraints as they were."""
    program = (
        "import torch.distributions as d, torch.distributions.transforms as t, torch.distributions.constraints as c\n"
        "def rows(r): return {k: v for k, v in r._registry.items() if k.__module__.startswith('torch')}\n"
        "def state():\n"
        "    kinds = [k for m in (t, c) for k in vars(m).values() if isinstance(k, type)]\n"
        "    return [rows(d.biject_to), rows(d.transform_to), [(k, dict(vars(k))) for k in kinds]]\n"
        "before = state()\n"
        "import pyroxene.distributions.transforms\n"
        "after = state()\n"
        "assert before == after\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_found_transforms_copy(name: str) -> None:
    constraint, shape = CONSTRAINTS[name]
    transform = biject_to(constraint)
    x = unconstrained(transform, shape, (), torch.float32)
    clone = copy.deepcopy(transform)
    torch.testing.assert_close(clone(x), transform(x))
    torch.testing.assert_close(clone.inv(clone(x)), transform.inv(transform(x)))


# exp(exp(20)), and the product of entries of size exp(20), are beyond float32
TOO_LARGE = {"positive_ordered_vector", "positive_definite", "positive_semidefinite"}


@pytest.mark.parametrize("name", sorted(CONSTRAINTS.keys() - TOO_LARGE - POSITIONAL))
@pytest.mark.parametrize("scale", [0.0, 20.0])
def test_extreme_inputs_are_finite_in_float32(name: str, scale: float) -> None:
    constraint, shape = CONSTRAINTS[name]
    transform = biject_to(constraint)
    x = (unconstrained(transform, shape, (50,), torch.float32).sign() * scale).requires_grad_()
    y = transform(x)
    assert y.isfinite().all()
    if transform.bijective:
        log_jacobian = transform.log_abs_det_jacobian(x, y)
        assert log_jacobian.isfinite().all()
        (gradient,) = torch.autograd.grad(log_jacobian.sum() + 0 * x.sum(), x, allow_unused=True)
        assert gradient.isfinite().all()
