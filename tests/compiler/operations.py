"""Every operation that has a rule, as functions of one or two tensors with the values that they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

F = torch.nn.functional
Tensor = torch.Tensor


@dataclass(frozen=True)
class Case:
    """A function of tensors; `shapes` are drawn from when the case is made, `low` and `high` bound its arguments."""

    name: str
    function: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...] = ((3, 5),)
    low: float = -2.0
    high: float = 2.0
    tolerance: float = 1e-10


def _one(names: str, low: float = -2.0, high: float = 2.0) -> list[Case]:
    return [Case(name, _named(name), low=low, high=high) for name in names.split()]


def _named(name: str) -> Callable[..., Tensor]:
    owner = torch
    for part in name.split("."):
        owner = getattr(owner, part)
    return owner


def _below_the_diagonal(x: Tensor) -> Tensor:
    rows, columns = torch.tril_indices(10, 3, -1)
    return torch.zeros(10, 3, dtype=x.dtype).index_put((rows, columns), x)


def _spd(x: Tensor) -> Tensor:
    return x @ x.mT + 3.0 * torch.eye(x.shape[-1], dtype=x.dtype)


def _regular(x: Tensor) -> Tensor:
    return x + 2.0 * x.shape[-1] ** 0.5 * torch.eye(x.shape[-1], dtype=x.dtype)


def _both(pair: tuple[Tensor, Tensor]) -> Tensor:
    return pair[0] * (pair[1] + 2.0)


def _in_place(x: Tensor) -> Tensor:
    out = torch.zeros(4, 5, dtype=x.dtype)
    out[0] = x[1]
    out[1:3, ::2] = x[:2, ::2] * 2
    out[3] += x[0].exp()
    out.mul_(1.5)
    view = out[:, 1]
    view.add_(x[0, 0])
    return out


def _assigned(x: Tensor, mask: object, values: Tensor) -> Tensor:
    out = x.to(values.dtype, copy=True)
    out[mask] = values
    return out


def _assigned_part(x: Tensor, y: Tensor) -> Tensor:
    out = x * 2.0
    out[1][ROW > 0] = y[ROW > 0] ** 2
    out[:, 2:][MASK[:, 2:]] += 1.0
    out[ROWS] *= y
    return out


def _long_cube(x: Tensor) -> Tensor:
    """Sums over every choice of dimensions, each too long to be written out, of values computed together."""
    y = x.exp()
    total = y.sum()
    for dims in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)):
        total = total + (y.sum(dims) ** 2).mean()
    return total + (y / y.sum((0, 2), keepdim=True) * y.sum((1,), keepdim=True)).sum()


INDEX = torch.tensor([2, 0, 1, 2, 2])
MATRIX_INDEX = torch.tensor([[0, 2], [1, 1]])
ONE_EACH = torch.tensor([[0], [3], [1], [4], [4], [2]])
GENERATOR = torch.Generator().manual_seed(7)
DATA = torch.randn(3, 5, generator=GENERATOR)
MASK = DATA > 0
ROWS = torch.tensor([True, False, True])
CHOSEN = torch.tensor([False, True, False, False, True])
GROUPS = torch.randint(7, (200,), generator=GENERATOR)
PANELS = torch.randn(75, 75, generator=GENERATOR)
WIDE = torch.randn(6, 5, generator=GENERATOR)
DESIGN = torch.randn(200, 12, generator=GENERATOR)
ANTI = 3.0 * torch.eye(5, dtype=torch.float64).flip(0)
ROW = torch.randn(5, generator=GENERATOR)

TRIGAMMA = 1e-8
"""PyTorch's trigamma is right to 1e-9 only; test_special.py holds ours against scipy's."""

CASES: list[Case] = [
    *_one("neg exp expm1 sin cos tan sinh cosh tanh atan asinh sigmoid abs square exp2 erf erfc floor ceil trunc sign"),
    *_one(
        "round nn.functional.softplus nn.functional.logsigmoid nn.functional.relu nn.functional.elu nn.functional.silu"
    ),
    *_one("nn.functional.gelu nn.functional.leaky_relu special.i0 special.i1 special.i0e special.i1e special.log_ndtr"),
    *_one("special.ndtr special.erfcx sinc"),
    *_one("log log2 log10 sqrt rsqrt reciprocal lgamma", 0.2, 4.0),
    Case("digamma", torch.digamma, low=0.2, high=4.0, tolerance=TRIGAMMA),
    *_one("asin acos atanh erfinv", -0.9, 0.9),
    *_one("acosh", 1.1, 3.0),
    *_one("log1p", -0.5, 3.0),
    *_one("logit special.ndtri", 0.1, 0.9),
    Case("polygamma", lambda x: torch.polygamma(2, x), low=0.2, high=4.0),
    Case("trigamma", lambda x: torch.polygamma(1, x), low=0.2, high=40.0, tolerance=TRIGAMMA),
    Case("mvlgamma", lambda x: torch.mvlgamma(x, 3), low=1.5, high=6.0),
    # arithmetic and broadcasting
    Case("add", lambda x, y: x + y, ((3, 5), (5,))),
    Case("sub", lambda x, y: torch.sub(x, y, alpha=2), ((3, 1), (1, 5))),
    Case("rsub", lambda x: 3 - x),
    Case("mul", lambda x, y: x * y, ((3, 5), ())),
    Case("div", lambda x, y: x / y, ((3, 5), (3, 1)), 0.5, 2.0),
    Case("div by number", lambda x: 2 / x / 3, low=0.5),
    Case("pow", lambda x, y: x**y, ((3, 5), (3, 5)), 0.2, 2.0),
    Case("powers", lambda x: x**2 + x**3 + x**4 + x**5 + x.abs() ** 0.5 + (x.abs() + 1) ** -1.5 + (x.abs() + 1) ** -2),
    Case("number to the power", lambda x: 2.5**x),
    Case("remainder", lambda x, y: torch.remainder(x, y), ((3, 5), (3, 5)), 0.3, 2.0),
    Case("fmod", lambda x: torch.fmod(x, 0.7)),
    Case("maximum", torch.maximum, ((3, 5), (3, 5))),
    Case("minimum", torch.minimum, ((3, 5), (3, 5))),
    Case("max of itself", lambda x: torch.maximum(x, x)),
    Case("atan2", torch.atan2, ((3, 5), (3, 5))),
    Case("hypot", torch.hypot, ((3, 5), (3, 5)), 0.1, 2.0),
    Case("logaddexp", torch.logaddexp, ((3, 5), (3, 5))),
    Case("xlogy", lambda x: torch.xlogy(DATA.abs() * MASK, x), low=0.2),
    Case("xlogy of both", torch.xlogy, ((3, 5), (3, 5)), 0.2, 2.0),
    Case("xlog1py", torch.special.xlog1py, ((3, 5), (3, 5)), 0.2, 2.0),
    Case("entr", torch.special.entr, low=0.2),
    Case("clamp", lambda x: x.clamp(-0.5, 1.0)),
    Case("clamp_min", lambda x: x.clamp(min=0.1)),
    Case("clamp_max", lambda x: x.clamp(max=0.1)),
    Case("clamp by tensor", lambda x: torch.clamp(x, min=DATA)),
    Case("where", lambda x, y: torch.where(x > y, x.exp(), y.sin()), ((3, 5), (3, 5))),
    Case("masked_fill", lambda x: x.masked_fill(MASK, 0.5)),
    Case("logical", lambda x: torch.where((x > 0) & ~(x > 1) | (x < -1), x * 2, x)),
    Case("isnan", lambda x: torch.where(torch.isnan(x) | torch.isinf(x), torch.zeros(()), x)),
    Case("lerp", lambda x, y: torch.lerp(x, y, 0.3), ((3, 5), (3, 5))),
    Case("addcmul", lambda x, y: torch.addcmul(x, x, y, value=0.5), ((3, 5), (3, 5))),
    Case("addcdiv", lambda x, y: torch.addcdiv(x, x, y, value=0.5), ((3, 5), (3, 5)), 0.5, 2.0),
    Case("data", lambda x: (x - DATA) / ROW.abs() + ROW * DATA),
    Case("threshold of data", lambda x: x * (DATA > x)),
    Case("integers", lambda x: x * torch.arange(5) + torch.arange(3)[:, None] % 2),
    # views
    Case("slices", lambda x: x[1:, ::2] * x[:2, 1:4]),
    Case("differences", lambda x: x[1:] - x[:-1], ((40,),)),
    Case("transpose", lambda x: x.T.exp() @ x),
    Case("permute", lambda x: x.permute(2, 0, 1).reshape(4, 6), ((2, 3, 4),)),
    Case("reshape", lambda x: (x * 2).reshape(5, 3) + x.reshape(-1)[:3]),
    Case("reshape of computed", lambda x: x.exp().T.reshape(3, 5) * x),
    Case("expand", lambda x: x[:, None].expand(3, 4, 5) * torch.arange(4.0)[:, None]),
    Case("unsqueeze", lambda x: x[:, :, None] * x[:, None, :]),
    Case("outer of itself", lambda x: (x.exp()[:, None] - x.exp()[None, :]) ** 2, ((6,),)),
    Case("split", lambda x: torch.cat([part.exp() for part in x.split(2, -1)], -1)),
    Case("unbind", lambda x: sum(row * (i + 1) for i, row in enumerate(x.unbind(0)))),
    Case("chunk", lambda x: x.chunk(3)[1]),
    Case("diagonal", lambda x: x.diagonal(offset=1) + x.diagonal(dim1=0, dim2=1, offset=1).exp(), ((4, 4),)),
    Case("unfold", lambda x: x.exp().unfold(0, 4, 1) * torch.arange(4.0), ((20,),)),
    Case("flip", lambda x: x.flip(0, 1) * torch.arange(5.0)),
    Case("roll", lambda x: x.roll(2, 1) * torch.arange(5.0)),
    Case("repeat", lambda x: x.repeat(2, 1, 3) * torch.arange(15.0)),
    Case("movedim", lambda x: x.movedim(0, -1).contiguous() * 2, ((2, 3, 4),)),
    # joining
    Case("cat", lambda x, y: torch.cat([x, y.exp(), x[:1]]), ((3, 5), (2, 5))),
    Case("cat of columns", lambda x: torch.cat([x, x * 2, DATA], -1)),
    Case("stack", lambda x, y: torch.stack([x, y, x * y], 1), ((3, 5), (3, 5))),
    Case("pad", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5)),
    Case("negative pad", lambda x: F.pad(x, (-1, 1))),
    Case("tril", lambda x: torch.tril(x.exp()) + torch.triu(x, 1)),
    Case("diag_embed", lambda x: torch.diag_embed(x) * 2),
    Case("diag", lambda x: torch.diag(x[0].exp())),
    Case("in place", _in_place),
    Case("zeros_like", lambda x: torch.zeros_like(x) + torch.ones_like(x) * x + torch.full_like(x, 2.0)),
    # reductions
    Case("sum", lambda x: x.exp().sum()),
    Case("sum over 0", lambda x: x.exp().sum(0) * torch.arange(5.0)),
    Case("sum over 1", lambda x: x.exp().sum(-1, keepdim=True) * x),
    Case("sum of a cube", lambda x: x.sum((0, 2)), ((2, 3, 4),)),
    Case("sums of a long cube", _long_cube, ((40, 12, 20),), -1.0, 1.0),
    Case("maxima of a long cube", lambda x: x.amax((0, 2)) + x.amin((1, 2)).sum(), ((40, 12, 20),)),
    Case("mean", lambda x: x.mean(0) + x.mean()),
    Case("prod", lambda x: x.prod(-1)),
    Case("prod of all", lambda x: x.prod(), low=0.5),
    Case("amax", lambda x: x.amax(-1) * torch.arange(3.0)),
    Case("amin", lambda x: x.amin(0)),
    Case("max of all", lambda x: x.max() - x.min()),
    Case("max of rows", lambda x: x.max(-1).values + x.min(-1, keepdim=True)[0].squeeze(-1)),
    Case("logsumexp", lambda x: torch.logsumexp(x, -1)),
    Case("logsumexp over 0", lambda x: torch.logsumexp(x, 0)),
    Case("logsumexp of many", lambda x: torch.logsumexp(x, -1), ((6, 40),)),
    Case("softmax", lambda x: torch.softmax(x, -1) * DATA),
    Case("softmax of many", lambda x: torch.softmax(x, 0) ** 2, ((30, 2),)),
    Case("log_softmax", lambda x: torch.log_softmax(x, -1) * DATA),
    Case("cumsum", lambda x: x.cumsum(-1) * DATA),
    Case("cumsum over 0", lambda x: x.exp().cumsum(0) ** 2),
    Case("cumprod", lambda x: x.cumprod(-1)),
    Case("logcumsumexp", lambda x: torch.logcumsumexp(x, -1)),
    Case("var", lambda x: x.var(-1) + x.var(0, unbiased=False).sum() + x.std()),
    Case("var with corrections", lambda x: x.var(0, correction=2) + x.std((0, 1), correction=3, keepdim=True)[0]),
    Case("var_mean", lambda x: _both(torch.var_mean(x, -1)) + _both(torch.var_mean(x)) * x.sum(-1)),
    Case("var_mean of dims", lambda x: _both(torch.var_mean(x, (0, 2), keepdim=True)), ((2, 3, 4),)),
    Case("var_mean biased", lambda x: _both(torch.var_mean(x, 0, unbiased=False)) * _both(torch.var_mean(x, False))),
    Case("var_mean with a correction", lambda x: _both(torch.var_mean(x, 1, correction=3, keepdim=True)) * x),
    Case("std_mean", lambda x: _both(torch.std_mean(x, -1)) + _both(torch.std_mean(x)) * x.sum(-1)),
    Case("std_mean of dims", lambda x: _both(torch.std_mean(x, (0, 2), unbiased=False)), ((2, 3, 4),)),
    Case("std_mean with a correction", lambda x: _both(torch.std_mean(x, (0, 1), correction=3.5, keepdim=True)) * x),
    Case("norm", lambda x: x.norm() + x.norm(dim=-1) + x.abs().sum(-1)),
    Case("all", lambda x: torch.where((x > -1).all(-1), x[:, 0], x[:, 1])),
    Case("any", lambda x: torch.where((x > 1).any(0), x[0], x[1])),
    Case("two-level", lambda x: (x - x.mean(-1, keepdim=True)).pow(2).sum(-1).log().cumsum(0)),
    # indexing
    Case("index by tensor", lambda x: x[INDEX] * ROW),
    Case("index computed", lambda x: x.exp()[INDEX]),
    Case("index of columns", lambda x: x[:, INDEX] * torch.arange(5.0)),
    Case("index by two", lambda x: x[INDEX, torch.tensor([0, 4, 1, 0, 0])]),
    Case("index by matrix", lambda x: x[MATRIX_INDEX]),
    Case("index around a slice", lambda x: x[INDEX, :, torch.tensor([0, 1, 3, 0, 0])], ((3, 2, 4),)),
    Case("negative index", lambda x: x[torch.tensor([-1, 0, -2])]),
    Case("index of one row", lambda x: x[:1].exp()[torch.tensor([0, 0, -1])] * x),
    Case("index_add to one row", lambda x: torch.zeros(1, 5).index_add(0, torch.tensor([0, 0, 0]), x.exp()) * ROW),
    Case("index_select", lambda x: x.index_select(1, INDEX)),
    Case("gather", lambda x: x.gather(1, MATRIX_INDEX)),
    Case("gather of pointwise", lambda x, y: (x.exp() / (1 + y**2)).log().gather(1, ONE_EACH), ((6, 5), (6, 1))),
    Case(
        "gathers of one value",
        lambda x: sum(x.exp().sin().gather(1, i).cos().sum() for i in (ONE_EACH, 4 - ONE_EACH)),
        ((6, 5),),
    ),
    Case("gather of log_softmax", lambda x: torch.log_softmax(x, -1).gather(-1, ONE_EACH), ((6, 20),)),
    Case(
        "gather of what is masked",
        lambda x: torch.where(x > WIDE, x.exp().sin(), WIDE * x).gather(1, ONE_EACH),
        ((6, 5),),
    ),
    Case("gather of a transpose", lambda x: (x.exp().sin() * WIDE.T).T[torch.arange(6), ONE_EACH[:, 0]], ((5, 6),)),
    Case("index of few", lambda x: x.exp().sin()[torch.tensor([3, 1])] * x.exp()[:2], ((40,),)),
    Case("take_along_dim", lambda x: x.take_along_dim(INDEX[None].expand(3, 5), 1)),
    Case("take", lambda x: x.take(torch.tensor([0, 7, -1]))),
    Case("group effects", lambda x: (x[INDEX].exp() * ROW).sum() + x[INDEX][:3] ** 2, ((3,),)),
    Case("group effects of many rows", lambda x: (x[GROUPS] * DESIGN[:, 0]).exp() + x.exp()[GROUPS] ** 2, ((7,),)),
    Case("rows of group effects", lambda x: (x[GROUPS] * DESIGN[:, :3]).sum(-1).sin(), ((7, 3),)),
    Case("index_put", lambda x, y: x.index_put((INDEX[:2],), y), ((3, 5), (2, 5))),
    Case("index_put accumulate", lambda x, y: x.index_put((INDEX,), y, accumulate=True), ((3, 4), (5, 4))),
    Case("index_add", lambda x, y: x.index_add(0, INDEX, y), ((3, 4), (5, 4))),
    Case("index_put into a narrow table", lambda x, y: y @ _below_the_diagonal(x).mT, ((24,), (150, 3))),
    Case("index_add to columns", lambda x, y: x.index_add(-1, INDEX, y), ((3, 4), (3, 5))),
    Case("scatter_add", lambda x: torch.zeros(3, 5).scatter_add(0, INDEX[None].expand(3, 5), x.exp())),
    Case("scatter", lambda x: torch.ones(3, 5).scatter(1, torch.tensor([[0], [2], [4]]), x), ((3, 1),)),
    Case("one hot", lambda x: (F.one_hot(INDEX, 3).to(x.dtype) @ x).exp()),
    Case("embedding", lambda x: F.embedding(MATRIX_INDEX, x)),
    Case("bool assignment", lambda x: torch.where(MASK, x, x * 2).clone().masked_fill_(x > 1, 0.0)),
    # masks of data
    Case("index by a mask", lambda x: x.exp()[MASK] * torch.arange(MASK.sum())),
    Case("index of rows by a mask", lambda x: x[ROWS].exp() * ROW),
    Case("index of columns by a mask", lambda x: x[:, ROW > 0].exp() * torch.arange((ROW > 0).sum())),
    Case("index of the middle by a mask", lambda x: x[:, ROWS].exp() ** 2, ((2, 3, 4),)),
    Case("index by a mask of two dimensions", lambda x: x[:, MASK].exp() * torch.arange(MASK.sum()), ((2, 3, 5),)),
    Case("index by two masks", lambda x: x[ROWS, CHOSEN] * torch.arange(2.0)),
    Case("index by masks around a slice", lambda x: x[ROWS, :, CHOSEN] * torch.arange(4.0), ((3, 4, 5),)),
    Case("index by a mask and a tensor", lambda x: x[ROWS, torch.tensor([4, -1])].exp()),
    Case("index by a computed mask of data", lambda x: x[(DATA > 0.1) & (ROW < 1)].sin()),
    Case("index of a view by a mask", lambda x: x.T[1:][MASK.T[1:]].exp()),
    Case("index by an empty mask", lambda x: torch.cat([x[MASK & ~MASK], x[0]]) + x[ROWS & ~ROWS].sum()),
    Case("index by a full mask", lambda x: x[MASK | ~MASK].exp()),
    Case("masked_select", lambda x: torch.masked_select(x.exp(), MASK) + x.masked_select(MASK & ~MASK).sum()),
    Case("masked_select that repeats", lambda x: torch.masked_select(x[:, None], DATA[:, :1].T > 0) ** 2, ((3,),)),
    Case("masked_select of rows", lambda x: x.masked_select(ROWS[:, None]).exp()),
    Case("assignment by a mask", lambda x, y: _assigned(x.exp(), MASK, y.exp()[: MASK.sum()]), ((3, 5), (15,))),
    Case("assignment to data by a mask", lambda y: _assigned(DATA, MASK, y.exp()[: MASK.sum()]) ** 2, ((15,),)),
    Case("assignment of rows", lambda x, y: _assigned(x, ROWS, y.exp()), ((3, 5), (2, 5))),
    Case("assignment of one row to many", lambda x, y: _assigned(x, ROWS, y.exp()), ((3, 5), (5,))),
    Case("assignment of columns", lambda x, y: _assigned(x, (slice(None), ROW > 0), y.exp()), ((3, 5), (3, 1))),
    Case("assignment by two masks", lambda x, y: _assigned(x, (ROWS, CHOSEN), y.exp()), ((3, 5), (2,))),
    Case("assignment by an empty mask", lambda x, y: _assigned(x, MASK & ~MASK, y[:0]) * x, ((3, 5), (3,))),
    Case("assignment to a part by a mask", _assigned_part, ((3, 5), (5,))),
    Case("index_put by a mask", lambda x, y: x.index_put((ROWS,), y.exp(), accumulate=True), ((3, 5), (2, 5))),
    Case("masked_scatter", lambda x, y: x.masked_scatter(MASK, y.exp()) * x, ((3, 5), (4, 5))),
    Case("masked_scatter that repeats", lambda x, y: x.masked_scatter(ROWS[:, None], y.exp()), ((5,), (3, 5))),
    Case("masked_scatter in place", lambda x, y: (x * 2.0).masked_scatter_(ROW > 0, y), ((3, 5), (3, 5))),
    Case("masked_scatter of nothing", lambda x, y: x.masked_scatter(MASK & ~MASK, y), ((3, 5), (3, 5))),
    # products and factors
    Case("matrix by vector", lambda x, y: x @ y, ((3, 5), (5,))),
    Case("design by vector", lambda y: torch.sigmoid(DESIGN @ y), ((12,),)),
    Case("vector by matrix", lambda x, y: x @ y, ((3,), (3, 5))),
    Case("matrix by matrix", lambda x, y: x @ y, ((3, 5), (5, 2))),
    Case("large product", lambda x, y: (x.T @ y).exp(), ((20, 12), (20, 15)), -0.5, 0.5),
    Case("batched product", lambda x, y: x @ y, ((2, 3, 5), (2, 5, 4))),
    Case("broadcast product", lambda x, y: x @ y, ((2, 3, 5), (5, 4))),
    Case("dot", torch.dot, ((5,), (5,))),
    Case("einsum", lambda x, y: torch.einsum("ij,kj->ik", x, y), ((3, 5), (4, 5))),
    Case("bilinear", lambda x, y: y @ (x @ x.T) @ y, ((5, 5), (5,))),
    Case("addmm", lambda x, y: torch.addmm(x[:, :2], x, y, beta=0.5, alpha=2.0), ((3, 5), (5, 2))),
    Case("linear", lambda x, y: F.linear(x, y, ROW[:2]), ((3, 5), (2, 5))),
    Case("cholesky", lambda x: torch.linalg.cholesky(_spd(x)), ((4, 4),)),
    Case("batch of cholesky", lambda x: torch.linalg.cholesky(_spd(x)), ((2, 3, 3),)),
    Case("large cholesky", lambda x: torch.linalg.cholesky(_spd(x)), ((24, 24),), -0.3, 0.3),
    Case("cholesky in panels", lambda x: torch.linalg.cholesky(_spd(x)) * PANELS, ((75, 75),), -0.2, 0.2),
    Case("solve in BLAS", lambda x, y: torch.linalg.solve_triangular(_spd(x), y, upper=False), ((40, 40), (40, 9))),
    Case(
        "solve upper in BLAS", lambda x, y: torch.linalg.solve_triangular(_spd(x), y, upper=True), ((40, 40), (40, 9))
    ),
    Case("solve_triangular", lambda x, y: torch.linalg.solve_triangular(_spd(x), y, upper=False), ((4, 4), (4, 2))),
    Case("solve, eight a row", lambda x, y: torch.linalg.solve_triangular(_spd(x), y, upper=False), ((8, 8), (8, 9))),
    Case("solve upper", lambda x, y: torch.linalg.solve_triangular(_spd(x), y, upper=True), ((4, 4), (4, 2))),
    Case(
        "solve right", lambda x, y: torch.linalg.solve_triangular(_spd(x), y, upper=False, left=False), ((4, 4), (2, 4))
    ),
    Case("cholesky_solve", lambda x, y: torch.cholesky_solve(y, torch.linalg.cholesky(_spd(x))), ((4, 4), (4, 2))),
    Case("log determinant", lambda x: torch.linalg.cholesky(_spd(x)).diagonal().log().sum() * 2, ((4, 4),)),
    Case("inverse", lambda x: torch.linalg.inv(_regular(x)) * x, ((4, 4),)),
    Case("inverse of one number", lambda x: torch.inverse(x), ((1, 1),), 0.5, 2.0),
    Case("inverse that exchanges rows", lambda x: torch.inverse(x.flip(0) * 0.2 + ANTI), ((5, 5),)),
    Case("batch of inverses", lambda x: torch.linalg.inv(_regular(x)).exp(), ((2, 3, 3, 3),)),
    Case("inverse in LAPACK", lambda x: torch.linalg.inv(_regular(x)) ** 2, ((40, 40),)),
    Case("batch of inverses in LAPACK", lambda x: torch.linalg.inv(_regular(x)) ** 2, ((2, 26, 26),)),
    Case("inverse without checks", lambda x: torch.linalg.inv_ex(_regular(x)).inverse, ((3, 3),)),
    Case("inverse of a part", lambda x: torch.linalg.inv(_regular(x)[1:, 1:].mT) @ x[:4, :2], ((5, 5),)),
    Case("solve", lambda x, y: torch.linalg.solve(_regular(x), y), ((4, 4), (4, 3))),
    Case("solve of a vector", lambda x, y: torch.linalg.solve(_regular(x), y), ((4, 4), (4,))),
    Case("solve from the right", lambda x, y: torch.linalg.solve(_regular(x), y, left=False), ((4, 4), (3, 4))),
    Case("batch of solves", lambda x, y: torch.linalg.solve(_regular(x), y), ((2, 3, 3), (2, 3, 2))),
    Case("batch of solves of vectors", lambda x, y: torch.linalg.solve(_regular(x), y), ((2, 3, 3), (2, 3))),
    Case("one matrix and a batch", lambda x, y: torch.linalg.solve(_regular(x), y), ((3, 3), (2, 4, 3, 2))),
    Case("batch of matrices and one", lambda x, y: torch.linalg.solve(_regular(x), y), ((2, 3, 3), (3, 5))),
    Case("batches that broadcast", lambda x, y: torch.linalg.solve(_regular(x), y), ((2, 1, 3, 3), (4, 3, 2))),
    Case("solve in LAPACK", lambda x, y: torch.linalg.solve(_regular(x), y), ((30, 30), (30, 7))),
    Case("solve of a vector in LAPACK", lambda x, y: torch.linalg.solve(_regular(x), y), ((30, 30), (30,))),
    Case("solve from the right in LAPACK", lambda x, y: torch.linalg.solve(x, y, left=False), ((30, 30), (7, 30))),
    Case("solve with pivots in LAPACK", lambda x, y: torch.linalg.solve(x, y), ((30, 30), (30, 6))),
    Case("solve without checks", lambda x, y: torch.linalg.solve_ex(_regular(x), y).result, ((3, 3), (3, 2))),
    Case("solve of data", lambda y: torch.linalg.solve(_regular(PANELS[:5, :5]), y).exp(), ((5, 2),)),
    Case("solve by data", lambda x: torch.linalg.solve(_regular(x), ROW), ((5, 5),)),
    Case("slogdet", lambda x: _both(torch.linalg.slogdet(x)), ((4, 4),)),
    Case("batch of slogdet", lambda x: _both(torch.linalg.slogdet(x)), ((2, 3, 4, 4),)),
    Case("slogdet in LAPACK", lambda x: _both(torch.linalg.slogdet(x)), ((30, 30),)),
    Case("logdet", lambda x: torch.logdet(_spd(x)) + torch.slogdet(x)[0], ((4, 4),)),
    Case("determinant", lambda x: torch.linalg.det(x) + torch.det(x[:2, :2]), ((4, 4),)),
    Case("batch of determinants", lambda x: torch.linalg.det(x), ((5, 3, 3),)),
    Case(
        "density by a precision", lambda x, y: torch.logdet(_spd(x)) - y @ torch.linalg.inv(_spd(x)) @ y, ((4, 4), (4,))
    ),
    Case("trace", lambda x: torch.trace(x @ x), ((4, 4),)),
    # structure
    Case("scalars", lambda x: x[0, 0] * x[0, 1].exp() + torch.log1p(x[1, 1] ** 2) * x[2, 2]),
    Case("loop", lambda x: _recursion(x), ((12,),)),
    Case("unused", lambda x: x[0].exp()),
    Case("constant part", lambda x: x.sum() * 0 + DATA.exp().sum() + x[0, 0]),
]


def _gathers(x: Tensor) -> Tensor:
    return x.gather(1, ONE_EACH) * x.gather(1, 4 - ONE_EACH).cos()


def _recursion(x: Tensor) -> Tensor:
    state = x[0]
    states = []
    for t in range(1, len(x)):
        state = torch.tanh(0.5 * state + x[t])
        states.append(state)
    return torch.stack(states)


assert len({case.name for case in CASES}) == len(CASES)
