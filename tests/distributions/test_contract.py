"""One contract for every distribution; a new class is one line of a table.

The tables are in `contract/`: each parameter is named with its kind, which `contract/kinds.py` explains.
"""

from __future__ import annotations

import copy
import inspect
import json
import pathlib
import pickle

import pytest
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from tests.distributions.contract.basic import BASIC
from tests.distributions.contract.continuous import CONTINUOUS
from tests.distributions.contract.counts import COUNTS
from tests.distributions.contract.cut import CUT
from tests.distributions.contract.multivariate import MULTIVARIATE
from tests.distributions.contract.sequences import SEQUENCES
from tests.distributions.contract.shapes import SHAPES
from tests.distributions.contract.structured import STRUCTURED
from tests.distributions.contract.torch_classes import TORCH_CASES

# torch's Wishart takes samples for singular that are not, warns, and draws again
pytestmark = pytest.mark.filterwarnings("ignore:Singular sample detected:UserWarning")

CASES = [
    *TORCH_CASES,
    *BASIC,
    *CONTINUOUS,
    *COUNTS,
    *CUT,
    *MULTIVARIATE,
    *SEQUENCES,
    *SHAPES,
    *STRUCTURED,
]

ALL = pytest.mark.parametrize("case", CASES)
TORCH = pytest.mark.parametrize("case", TORCH_CASES)
PLAIN = pytest.mark.parametrize("case", [each for each in CASES if each.values[0].is_plain()])
BATCH = pytest.mark.parametrize("batch", [(), (2,), (2, 1)], ids=str)
DTYPE = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def draw(d, sample_shape=()):
    """Values to score, without gradients."""
    return d.sample(torch.Size(sample_shape))


@ALL
@BATCH
def test_samples_have_the_declared_shape(case, batch):
    d = case.make(batch)
    assert d.batch_shape == batch
    assert d.event_dim == len(d.event_shape)
    for sample_shape in [(), (5,), (5, 1)]:
        expected = torch.Size(sample_shape) + d.batch_shape + d.event_shape
        assert d.shape(sample_shape) == expected
        assert d(sample_shape).shape == expected
        assert d.sample(torch.Size(sample_shape)).shape == expected
        assert d.log_prob(draw(d, sample_shape)).shape == torch.Size(sample_shape) + d.batch_shape


@ALL
@DTYPE
def test_dtype_of_the_parameters_is_that_of_values_and_densities(case, dtype):
    d = case.make((2,), dtype)
    value = draw(d)
    assert value.dtype in (dtype, torch.int64)
    assert d.log_prob(value).dtype == dtype


@ALL
def test_samples_lie_in_the_support(case):
    d = case.make((2,))
    assert d.support.check(draw(d, (20,))).all()


@pytest.mark.parametrize("case", [each for each in TORCH_CASES if each.values[0].cls is not dist.LKJCholesky])
@BATCH
def test_torch_draws_the_same_and_gives_the_same_density(case, batch):
    reference = getattr(torchdist, case.cls.__name__)
    dtype = torch.float32 if case.cls.__name__ == "GeneralizedPareto" else torch.float64  # torch's fails in float64
    parameters = case.parameters(batch, dtype)
    ours, torchs = case.cls(**parameters), reference(**parameters)
    assert isinstance(ours, reference)
    tolerance = 1e-12 if dtype is torch.float64 else 1e-5
    if case.cls is dist.VonMises:  # torch's Bessel function has seven digits
        tolerance = 1e-6
    torch.manual_seed(0)
    mine = ours((3,))
    torch.manual_seed(0)
    theirs = torchs.rsample((3,)) if torchs.has_rsample else torchs.sample((3,))
    assert torch.equal(mine, theirs)
    torch.testing.assert_close(ours.log_prob(mine), torchs.log_prob(theirs), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", [each for each in CASES if each.values[0].scipy])
def test_scipy_gives_the_same_density(case):
    parameters = case.parameters((4,))
    value = draw(case.cls(**parameters), (7,))
    frozen = case.scipy(**{name: p.numpy() for name, p in parameters.items()})
    density = getattr(frozen, "logpmf", None) if hasattr(frozen.dist, "pmf") else frozen.logpdf
    expected = torch.as_tensor(density(value.numpy()))
    torch.testing.assert_close(case.cls(**parameters).log_prob(value), expected, rtol=1e-9, atol=case.atol)


@PLAIN
def test_float32_is_right_to_its_precision(case):
    parameters = case.parameters((4,))
    exact = case.cls(**parameters)
    value = draw(exact, (3,))
    narrow = {name: p.float() if isinstance(p, torch.Tensor) else p for name, p in parameters.items()}
    rounded = value.float() if value.is_floating_point() else value
    got = case.cls(**narrow, validate_args=False).log_prob(rounded).double()
    wide = {name: p.double() if isinstance(p, torch.Tensor) else p for name, p in narrow.items()}
    expected = case.cls(**wide, validate_args=False).log_prob(rounded.double() if value.is_floating_point() else value)
    torch.testing.assert_close(got, expected, rtol=2e-4, atol=2e-4)


@ALL
@pytest.mark.parametrize("larger", [(2,), (5, 2), (5, 1, 2)], ids=str)
def test_expand(case, larger):
    d = case.make((2,))
    expanded = d.expand(larger)
    assert expanded.batch_shape == larger and expanded.event_shape == d.event_shape
    assert type(expanded) in (case.cls, dist.ExpandedDistribution)
    assert expanded(torch.Size((3,))).shape == (3, *larger, *d.event_shape)
    value = draw(d, (3,) + larger[:-1])
    torch.testing.assert_close(expanded.log_prob(value), d.log_prob(value))
    assert expanded.has_rsample == d.has_rsample
    assert expanded.has_enumerate_support == d.has_enumerate_support


@ALL
def test_expand_by(case):
    d = case.make((2,))
    assert d.expand_by([4, 3]).batch_shape == (4, 3, 2)
    assert d.expand_by(torch.Size((4,))).to_event(1).batch_shape == (4,)


@ALL
def test_to_event_sums_over_the_rightmost_batch_dimensions(case):
    d = case.make((4, 2))
    value = draw(d, (3,))
    for count, kept in [(0, 2), (1, 1), (2, 0), (None, 0)]:
        event = d.to_event(count)
        assert event.batch_shape == d.batch_shape[:kept]
        assert event.event_shape == d.batch_shape[kept:] + d.event_shape
        expected = d.log_prob(value)
        while expected.dim() > 1 + kept:
            expected = expected.sum(-1)
        torch.testing.assert_close(event.log_prob(value), expected)
        assert event.shape((3,)) == value.shape


@ALL
def test_mask(case):
    d = case.make((2,))
    value = draw(d, (3,))
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    masked = d.mask(mask)
    assert masked.batch_shape == (3, 2) and masked.event_shape == d.event_shape
    torch.testing.assert_close(masked.log_prob(value), torch.where(mask, d.log_prob(value), 0.0))
    assert masked((4,)).shape == (4, 3, 2, *d.event_shape)
    torch.testing.assert_close(d.mask(True).log_prob(value), d.log_prob(value))
    assert torch.equal(d.mask(False).log_prob(value), torch.zeros_like(d.log_prob(value)))


@ALL
def test_score_parts(case):
    d = case.make((2,))
    value = draw(d)
    parts = d.score_parts(value)
    assert torch.equal(parts.log_prob, d.log_prob(value))
    zero, full = (parts.score_function, parts.entropy_term)[:: 1 if d.has_rsample else -1]
    assert zero == 0 and torch.equal(full, parts.log_prob)


@ALL
@BATCH
def test_enumerate_support(case, batch):
    d = case.make(batch)
    if not d.has_enumerate_support:
        with pytest.raises(NotImplementedError):
            d.enumerate_support()
        return
    values = d.enumerate_support()
    assert values.shape[1:] == d.batch_shape + d.event_shape
    compact = d.enumerate_support(expand=False)
    assert compact.expand(values.shape).equal(values)
    torch.testing.assert_close(d.log_prob(values).logsumexp(0).exp(), torch.ones(batch, dtype=torch.float64))
    torch.testing.assert_close(d.log_prob(compact).expand_as(d.log_prob(values)), d.log_prob(values))


@PLAIN
@pytest.mark.parametrize("batch", [(), (2,), (4, 2)], ids=str)
def test_infer_shapes_agrees_with_the_real_shapes(case, batch):
    parameters = case.parameters(batch)
    shapes = {name: p.shape if isinstance(p, torch.Tensor) else p for name, p in parameters.items()}
    if case.cls is dist.Multinomial:
        shapes["total_count"] = ()
    d = case.cls(**parameters)
    assert case.cls.infer_shapes(**shapes) == (d.batch_shape, d.event_shape)


@ALL
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))], ids=["deepcopy", "pickle"])
def test_copies_are_of_the_same_class_and_density(case, copied):
    d = case.make((2,))
    value = draw(d)
    twin = copied(d)
    assert type(twin) is type(d)
    assert torch.equal(twin.log_prob(value), d.log_prob(value))


@ALL
def test_vmap_of_log_prob(case):
    validate = {} if case.cls is dist.TransformedDistribution else {"validate_args": False}
    with dist.validation_enabled(False):
        d = case.make((2,), **validate)
        value = draw(d, (3,))
        torch.testing.assert_close(torch.vmap(d.log_prob)(value), d.log_prob(value))


@PLAIN
def test_gradients_of_the_density_are_finite(case):
    parameters = case.parameters((2,))
    leaves = [
        p.requires_grad_()
        for p in parameters.values()
        if isinstance(p, torch.Tensor) and p.dim() > 0 and p.is_floating_point()
    ]
    d = case.cls(**parameters)
    log_prob = d.log_prob(draw(d)).sum()
    assert log_prob.requires_grad or case.cls in (dist.Delta, dist.TruncatedPolyaGamma)  # they need no parameter
    gradients = torch.autograd.grad(log_prob, leaves, allow_unused=True) if log_prob.requires_grad else []
    assert all(g is None or g.isfinite().all() for g in gradients)


@TORCH
def test_name_and_home(case):
    assert case.cls.__module__.startswith("pyroxene.distributions.")
    assert getattr(dist, case.cls.__name__) is case.cls
    assert issubclass(case.cls, dist.TorchDistributionMixin)
    assert case.cls.__doc__ and case.cls.__doc__ != getattr(torchdist, case.cls.__name__).__doc__


def test_every_class_of_torch_is_there_and_in_the_table():
    torchs = {
        name
        for name, cls in vars(torchdist).items()
        if isinstance(cls, type) and issubclass(cls, torchdist.Distribution) and name != "Distribution"
    }
    ours = {name for name in torchs if issubclass(getattr(dist, name), dist.TorchDistributionMixin)}
    assert ours == torchs
    tested = {param.values[0].cls.__name__ for param in TORCH_CASES}
    assert tested == torchs - {"ExponentialFamily"}  # abstract


def test_parameters_are_those_of_pyro():
    path = pathlib.Path(__file__).resolve().parents[3] / "shared" / "api" / "pyro_api.json"
    if not path.exists():
        pytest.skip("the list of Pyro's names is not part of a checkout")
    for name, entry in json.loads(path.read_text())["pyro.distributions"].items():
        cls = getattr(dist, name, None)
        if inspect.isclass(cls) and "params" in entry:
            wanted = {text.partition("=")[0] for text in entry["params"]}
            assert wanted <= set(inspect.signature(cls).parameters), name
