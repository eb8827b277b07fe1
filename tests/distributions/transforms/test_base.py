"""One contract for all transforms: round trips, codomains, log-Jacobians, shapes, precisions, vmap, purity, copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from pyroxene.distributions import constraints
from pyroxene.distributions import transforms as T
from pyroxene.distributions.transforms.triangular import from_vector, to_vector

# name: (transform in a dtype, event shape of its domain)
TRANSFORMS: dict[str, tuple[Callable[[torch.dtype], T.Transform], tuple[int, ...]]] = {
    "abs": (lambda dtype: T.AbsTransform(), ()),
    "affine": (lambda dtype: T.AffineTransform(torch.tensor(1.0, dtype=dtype), -2.0), ()),
    "affine_event": (lambda dtype: T.AffineTransform(0.5, torch.arange(1, 4, dtype=dtype), event_dim=1), (3,)),
    "cat": (
        lambda dtype: T.IndependentTransform(
            T.CatTransform([T.ExpTransform(), T.identity_transform], dim=-1, lengths=[2, 1]), 1
        ),
        (3,),
    ),
    "cdf": (lambda dtype: T.CumulativeDistributionTransform(Normal(torch.zeros((), dtype=dtype), 2.0)), ()),
    "cholesky": (lambda dtype: T.CholeskyTransform(), (3, 3)),
    "compose": (lambda dtype: T.ComposeTransform([T.OrderedTransform(), T.ExpTransform()]), (4,)),
    "compose_module": (lambda dtype: T.ComposeTransformModule([T.OrderedTransform(), T.ExpTransform()]), (4,)),
    "corr_cholesky": (lambda dtype: T.CorrCholeskyTransform(), (6,)),
    "corr_cholesky_2": (lambda dtype: T.CorrCholeskyTransform(), (1,)),
    "corr_matrix_cholesky": (lambda dtype: T.CorrMatrixCholeskyTransform(), (3, 3)),
    "dct": (lambda dtype: T.DiscreteCosineTransform(), (5,)),
    "dct_smooth": (lambda dtype: T.DiscreteCosineTransform(dim=-2, smooth=1.5), (4, 2)),
    "elu": (lambda dtype: T.elu(), ()),
    "exp": (lambda dtype: T.ExpTransform(), ()),
    "haar": (lambda dtype: T.HaarTransform(), (7,)),
    "haar_flip": (lambda dtype: T.HaarTransform(dim=-2, flip=True), (6, 2)),
    "independent": (lambda dtype: T.IndependentTransform(T.SigmoidTransform(), 2), (2, 3)),
    "inverse_ordered": (lambda dtype: T.OrderedTransform().inv, (4,)),
    "iterated": (lambda dtype: T.iterated(2, T.ELUTransform), ()),
    "leaky_relu": (lambda dtype: T.leaky_relu(), ()),
    "lower_cholesky": (lambda dtype: T.LowerCholeskyTransform(), (3, 3)),
    "lower_cholesky_affine": (
        lambda dtype: T.LowerCholeskyAffine(
            torch.ones(2, dtype=dtype), torch.tensor([[2.0, 0.0], [-1.0, 3.0]], dtype=dtype)
        ),
        (2,),
    ),
    "normalize": (lambda dtype: T.Normalize(), (3,)),
    "normalize_p": (lambda dtype: T.Normalize(p=3), (3,)),
    "ordered": (lambda dtype: T.OrderedTransform(), (4,)),
    "ordered_1": (lambda dtype: T.OrderedTransform(), (1,)),
    "permute": (lambda dtype: T.Permute([2, 0, 1]), (3,)),
    "permute_dim": (lambda dtype: T.Permute([2, 0, 1], dim=-2, cache_size=0), (3, 2)),
    "positive_definite": (lambda dtype: T.PositiveDefiniteTransform(), (3, 3)),
    "positive_power": (lambda dtype: T.PositivePowerTransform(torch.tensor(1.5, dtype=dtype)), ()),
    "positive_power_number": (lambda dtype: T.PositivePowerTransform(1.5), ()),
    "power": (lambda dtype: T.PowerTransform(torch.tensor(-1.5, dtype=dtype)), ()),
    "reshape": (lambda dtype: T.ReshapeTransform((2, 3), (6,)), (2, 3)),
    "sigmoid": (lambda dtype: T.SigmoidTransform(), ()),
    "simplex_to_ordered": (lambda dtype: T.SimplexToOrderedTransform(), (4,)),
    "simplex_to_ordered_anchor": (lambda dtype: T.SimplexToOrderedTransform(torch.tensor(0.7, dtype=dtype)), (4,)),
    "softmax": (lambda dtype: T.SoftmaxTransform(), (4,)),
    "softplus": (lambda dtype: T.SoftplusTransform(), ()),
    "softplus_lower_cholesky": (lambda dtype: T.SoftplusLowerCholeskyTransform(), (3, 3)),
    "stack": (lambda dtype: T.StackTransform([T.ExpTransform(), T.identity_transform], dim=-1), (2,)),
    "stack_simplex": (lambda dtype: T.StackTransform([T.StickBreakingTransform()] * 2, dim=-2), (2, 3)),
    "stick_breaking": (lambda dtype: T.StickBreakingTransform(), (3,)),
    "tanh": (lambda dtype: T.TanhTransform(), ()),
    "unit_lower_cholesky": (lambda dtype: T.UnitLowerCholeskyTransform(), (3, 3)),
    "vector_exp": (lambda dtype: T.VectorToTriangularTransform("exp"), (6,)),
    "vector_free": (lambda dtype: T.VectorToTriangularTransform("free"), (6,)),
    "vector_softplus": (lambda dtype: T.VectorToTriangularTransform("softplus"), (6,)),
    "vector_symmetric": (lambda dtype: T.VectorToSymmetricTransform(), (6,)),
    "vector_unit": (lambda dtype: T.VectorToTriangularTransform("unit"), (6,)),
}

names = pytest.mark.parametrize("name", TRANSFORMS)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def make(name: str, dtype: torch.dtype = torch.float64, batch: tuple[int, ...] = ()) -> tuple[T.Transform, Tensor]:
    """Return a transform and a point of its domain."""
    build, event_shape = TRANSFORMS[name]
    transform = build(dtype)
    torch.manual_seed(7)
    reach = T.biject_to(transform.domain)
    return transform, reach(torch.randn(reach.inverse_shape(torch.Size(batch + event_shape)), dtype=dtype))


def kind(constraint: constraints.Constraint) -> constraints.Constraint:
    return constraint.base_constraint if isinstance(constraint, constraints.independent) else constraint


def coordinates(constraint: constraints.Constraint, value: Tensor) -> Tensor:
    """Return the free coordinates of one constrained event: the entries that determine the others."""
    if constraint is constraints.simplex:
        return value[..., :-1]
    if isinstance(constraint, constraints.stack):
        parts = zip(constraint.cseq, value.unbind(constraint.dim))
        return torch.cat([coordinates(part, piece).reshape(-1) for part, piece in parts])
    if constraint in (constraints.corr_cholesky, constraints.corr_matrix, constraints.unit_lower_cholesky):
        return to_vector(value, strict=True)
    triangles = (constraints.positive_definite, constraints.lower_cholesky, constraints.softplus_lower_cholesky)
    if constraint in (*triangles, constraints.lower_triangular, constraints.symmetric):
        return to_vector(value)
    return value.reshape(-1)


def embed(constraint: constraints.Constraint, free: Tensor, like: Tensor) -> Tensor:
    """Return the event that free coordinates stand for."""
    if constraint is constraints.simplex:
        return torch.cat([free, 1 - free.sum(-1, keepdim=True)], -1)
    if constraint is constraints.positive_definite:
        lower = from_vector(free)
        return lower + lower.tril(-1).mT
    if constraint is constraints.corr_matrix:
        lower = from_vector(free, strict=True)
        return lower + lower.mT + torch.eye(lower.size(-1), dtype=free.dtype)
    return free.reshape(like.shape)


@names
@dtypes
def test_round_trip(name: str, dtype: torch.dtype) -> None:
    transform, x = make(name, dtype, (2,))
    before = x.clone()
    y = transform(x)
    assert y.dtype == dtype and torch.equal(x, before)
    assert transform.codomain.check(y).all()
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 2e-3, "atol": 2e-4}
    back = transform.inv(y.clone())  # a clone, so that no cache can answer
    if transform.bijective:
        torch.testing.assert_close(back, x, **tolerance)
    torch.testing.assert_close(transform(back), y, **tolerance)


@names
@pytest.mark.parametrize("batch", [(), (2,), (3, 1)], ids=str)
def test_shapes(name: str, batch: tuple[int, ...]) -> None:
    transform, x = make(name, batch=batch)
    y = transform(x)
    assert transform.forward_shape(x.shape) == y.shape
    assert transform.inverse_shape(y.shape) == x.shape
    assert transform.inv.forward_shape(y.shape) == x.shape
    assert y.shape[: len(batch)] == batch
    assert transform.codomain.event_dim == y.dim() - len(batch)
    if transform.bijective:
        assert transform.log_abs_det_jacobian(x, y).shape == batch


@names
def test_log_abs_det_jacobian(name: str) -> None:
    transform, x = make(name)
    if not transform.bijective:
        return
    domain, codomain = kind(transform.domain), kind(transform.codomain)
    free = coordinates(domain, x)

    def through(free: Tensor) -> Tensor:
        return coordinates(codomain, transform(embed(domain, free, x)))

    jacobian = torch.autograd.functional.jacobian(through, free).reshape(free.numel(), free.numel())
    y = transform(x)
    actual = transform.log_abs_det_jacobian(x, y)
    torch.testing.assert_close(actual, torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(transform.inv.log_abs_det_jacobian(y, x), -actual)


@names
def test_log_abs_det_jacobian_of_a_batch_is_that_of_each(name: str) -> None:
    transform, x = make(name, batch=(3,))
    if transform.bijective:
        y = transform(x)
        each = torch.stack([transform.log_abs_det_jacobian(*pair) for pair in zip(x, y)])
        torch.testing.assert_close(transform.log_abs_det_jacobian(x, y), each)


@names
def test_vmap(name: str) -> None:
    transform, x = make(name, batch=(3,))
    transform = transform.with_cache(0)
    y = transform(x)
    torch.testing.assert_close(torch.vmap(transform)(x), y)
    torch.testing.assert_close(torch.vmap(transform.inv)(y), transform.inv(y))
    if transform.bijective:
        expected = transform.log_abs_det_jacobian(x, y)
        torch.testing.assert_close(torch.vmap(transform.log_abs_det_jacobian)(x, y), expected)


@names
def test_pure_under_functional_gradients(name: str) -> None:
    transform, x = make(name)
    transform = transform.with_cache(0)
    torch.manual_seed(0)
    weight = torch.randn(transform.forward_shape(x.shape), dtype=x.dtype)

    def value(x: Tensor) -> Tensor:
        y = transform(x)
        total = (weight * y).sum()
        return total + transform.log_abs_det_jacobian(x, y).sum() if transform.bijective else total

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(value(leaf), leaf)
    assert expected.isfinite().all()
    torch.testing.assert_close(torch.func.grad(value)(x), expected)


@names
@pytest.mark.parametrize("cache_size", [0, 1])
def test_copies(name: str, cache_size: int) -> None:
    transform, x = make(name)
    if name != "compose_module" and name != "iterated":  # chains of modules keep their parts' caches
        transform = transform.with_cache(cache_size)
    leaf = x.clone().requires_grad_()
    y = transform(leaf).detach()  # a cache now holds a graph
    inverse = transform.inv
    for clone in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform)), copy.copy(transform)):
        assert type(clone) is type(transform)
        torch.testing.assert_close(clone(x), y)
        torch.testing.assert_close(clone.inv(y), transform.inv(y))
    for clone in (copy.deepcopy(inverse), pickle.loads(pickle.dumps(inverse))):
        torch.testing.assert_close(clone(y), inverse(y))
        torch.testing.assert_close(clone.inv(x), y)


@names
def test_cache(name: str) -> None:
    transform, x = make(name)
    cached = transform.with_cache(1)
    assert cached.with_cache(1) is cached
    assert type(cached) is type(transform)
    if not isinstance(cached, T.ComposeTransform) and cached.inv.inv is cached:
        y = cached(x)
        assert cached(x) is y
        assert cached.inv(y) is x


OURS = [name for name, (build, _) in TRANSFORMS.items() if type(build(torch.float64)).__module__.startswith("pyroxene")]


@pytest.mark.parametrize("name", [name for name in OURS if name not in ("iterated", "compose_module")])
def test_equality_is_by_value(name: str) -> None:
    build = TRANSFORMS[name][0]
    assert build(torch.float64) == build(torch.float64)
    assert hash(build(torch.float64)) == hash(build(torch.float64))
    assert build(torch.float64) != T.ExpTransform()


def test_different_parameters_are_not_equal() -> None:
    assert T.Normalize(p=1) != T.Normalize(p=2)
    assert T.Permute([0, 1]) != T.Permute([1, 0])
    assert T.HaarTransform(flip=True) != T.HaarTransform()
    assert T.DiscreteCosineTransform(smooth=1.0) != T.DiscreteCosineTransform()
    assert T.VectorToTriangularTransform("exp") != T.VectorToTriangularTransform("softplus")
    assert T.SimplexToOrderedTransform(1.0) != T.SimplexToOrderedTransform(torch.tensor(1.0))


@pytest.mark.parametrize("make_transform", [T.HaarTransform, T.DiscreteCosineTransform], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("dim", [0, 1])
def test_dimensions_count_from_the_right(make_transform: Callable[..., T.Transform], dim: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        make_transform(dim=dim)
