"""The mixin's methods and the three wrappers, beyond what the contract tests for every class."""

from __future__ import annotations

import pytest
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from pyroxene.distributions import constraints
from pyroxene.errors import ParameterError, ShapeError, SupportError, UsageError


class Plain(dist.TorchDistribution):
    """Cannot expand itself; counts how often it scores."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    has_enumerate_support = True
    scored = 0

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * torch.randn(self.shape(sample_shape)).abs()

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        Plain.scored += 1
        return -value * self.scale

    def enumerate_support(self, expand=True):
        values = torch.arange(4.0).reshape((4,) + (1,) * len(self.batch_shape))
        return values.expand((4, *self.batch_shape)) if expand else values


def plain(*batch):
    return Plain(torch.zeros(batch), torch.ones(batch))


def test_to_event_flattens_and_undoes():
    d = dist.Normal(torch.zeros(2, 3), 1.0)
    twice = d.to_event(1).to_event(1)
    assert type(twice.base_dist) is dist.Normal and twice.reinterpreted_batch_ndims == 2
    assert d.to_event(0) is d
    assert d.to_event(2).to_event(-2) is d
    assert d.to_event(2).to_event(-1).event_shape == (3,)
    assert d.independent(1).event_shape == (3,)
    assert isinstance(d.to_event(1), torchdist.Independent)


@pytest.mark.parametrize("count", [3, -1])
def test_to_event_refuses(count):
    with pytest.raises(ShapeError, match=r"batch_shape \(2, 3\)"):
        dist.Normal(torch.zeros(2, 3), 1.0).to_event(count)


def test_reshape_says_what_took_its_place():
    with pytest.raises(UsageError, match="to_event"):
        dist.Normal(0.0, 1.0).reshape([2])


def test_independent_validates_as_its_base_does():
    base = dist.Normal(torch.zeros(3), 1.0, validate_args=False)
    assert not base.to_event(1)._validate_args
    assert dist.Normal(torch.zeros(3), 1.0, validate_args=True).to_event(1)._validate_args
    assert dist.Independent(base, 1, validate_args=True)._validate_args


def test_infer_shapes_takes_shapes_by_position_and_by_name():
    assert dist.Normal.infer_shapes((2, 1), (3,)) == ((2, 3), ())
    assert dist.StudentT.infer_shapes(df=(4, 1, 1), scale=(2, 3)) == ((4, 2, 3), ())
    with pytest.raises(ShapeError):
        dist.Normal.infer_shapes(loc=(2,), scale=(3,))
    with pytest.raises(NotImplementedError):
        dist.Independent.infer_shapes((), ())


def test_mask_false_does_not_evaluate_the_density():
    Plain.scored = 0
    d = plain(2).mask(False)
    assert torch.equal(d.log_prob(torch.full((3, 2), -1.0)), torch.zeros(3, 2))  # nor is the value checked
    assert torch.equal(d.score_parts(torch.zeros(2)).entropy_term, torch.zeros(2))
    assert Plain.scored == 0
    assert d.log_prob(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64
    assert d.log_prob(torch.zeros(2, dtype=torch.long)).dtype == torch.float32


def test_mask_of_a_mask_keeps_what_both_keep():
    d = dist.Normal(torch.zeros(2), 1.0).mask(torch.tensor([True, False])).mask(torch.tensor([[True], [False]]))
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))
    assert torch.equal(d.log_prob(torch.zeros(2)), torch.tensor([[expected, 0.0], [0.0, 0.0]]))


def test_masked_distribution_is_its_base_but_for_the_density():
    base = dist.Bernoulli(torch.tensor([0.3, 0.6]))
    mask = torch.tensor([[True, False], [True, True], [False, False]])
    d = base.mask(mask)
    assert d.support is base.support or d.support == base.support
    assert d.has_enumerate_support and not d.has_rsample
    assert d.enumerate_support().shape == (2, 3, 2) and d.enumerate_support(expand=False).shape == (2, 1, 1)
    assert torch.equal(d.mean, base.mean.expand(3, 2)) and torch.equal(d.variance, base.variance.expand(3, 2))
    torch.manual_seed(0)
    drawn = d.sample((4,))
    torch.manual_seed(0)
    assert torch.equal(drawn, base.expand((3, 2)).sample((4,)))
    larger = d.expand((5, 3, 2))
    assert type(larger) is dist.MaskedDistribution
    torch.testing.assert_close(larger.log_prob(drawn[0]), d.log_prob(drawn[0]).expand(5, 3, 2))
    assert base.mask(False).expand((5, 2)).log_prob(drawn[0, 0]).equal(torch.zeros(5, 2))


def test_masked_score_parts_leave_the_score_function():
    parts = dist.Bernoulli(torch.tensor([0.5, 0.5])).mask(torch.tensor([True, False])).score_parts(torch.zeros(2))
    assert parts.log_prob[1] == 0 and parts.score_function[1] != 0 and parts.entropy_term == 0


def test_masks_of_numbers_count_as_truth():
    d = dist.Normal(torch.zeros(2), 1.0).mask(torch.tensor([1.0, 0.0]))
    assert d.log_prob(torch.zeros(2))[1] == 0 and d.log_prob(torch.zeros(2))[0] != 0
    with pytest.raises(UsageError, match="boolean"):
        dist.Normal(0.0, 1.0).mask(1)
    with pytest.raises(ShapeError):
        dist.Normal(torch.zeros(2), 1.0).mask(torch.ones(3).bool())


def test_expanded_distribution_draws_anew_for_each_entry():
    torch.manual_seed(0)
    d = plain(2, 1).expand((4, 2, 3))
    assert type(d) is dist.ExpandedDistribution and d.base_dist.batch_shape == (2, 1)
    sample = d.rsample((5,))
    assert sample.shape == (5, 4, 2, 3)
    assert sample.unique().numel() == sample.numel()
    assert d.log_prob(sample).shape == (5, 4, 2, 3)
    assert d.log_prob(torch.zeros(3)).shape == (4, 2, 3)
    assert d.enumerate_support().shape == (4, 4, 2, 3)
    assert d.enumerate_support(expand=False).shape == (4, 1, 1, 1)
    assert torch.equal(d.enumerate_support(), torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 4, 2, 3))
    assert d.expand((6, 4, 2, 3)).base_dist is d.base_dist
    assert d.score_parts(torch.zeros(3)).entropy_term.shape == (4, 2, 3)


def test_expanded_draws_come_in_pyros_order():
    """The stretched dimensions vary from the right: what pyro-ppl 1.9.2 draws with this seed."""

    class Standard(Plain):
        def rsample(self, sample_shape=()):
            return torch.randn(self.shape(sample_shape))

    torch.manual_seed(0)
    drawn = Standard(torch.zeros(1, 1), torch.ones(1, 1)).expand((2, 3)).rsample()
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.randn(3, 2).T)
    pyros = torch.tensor([[1.5410, -2.1788, -1.0845], [-0.2934, 0.5684, -1.3986]])
    torch.testing.assert_close(drawn, pyros, atol=1e-4, rtol=0)


def test_each_stretched_dimension_gets_its_own_parameter():
    loc = torch.tensor([0.0, 100.0]).reshape(2, 1)
    d = Plain(loc, torch.full((2, 1), 0.1)).expand((3, 2, 4))
    sample = d.rsample((5,))
    assert ((sample - loc).abs() < 1).all()


@pytest.mark.parametrize("shape", [(4,), (4, 3, 5), (3, 2)])
def test_expanded_distribution_refuses_shapes_that_do_not_fit(shape):
    with pytest.raises(ShapeError, match="Cannot broadcast distribution"):
        plain(3, 4).expand(shape)
    with pytest.raises(ShapeError, match="Cannot broadcast distribution"):
        plain(3, 1).expand((3, 4)).expand((3, 5))


def test_our_own_distributions_raise_our_own_errors():
    with pytest.raises(ParameterError, match="scale"):
        Plain(torch.zeros(()), -torch.ones(()))
    Plain(torch.zeros(()), -torch.ones(()), validate_args=False)
    with pytest.raises(SupportError, match="within the support"):
        plain(2).log_prob(-torch.ones(2))
    with pytest.raises(ShapeError, match="broadcastable"):
        plain(2).log_prob(torch.ones(3))


def test_torchs_distributions_keep_torchs_errors():
    with pytest.raises(ValueError, match="Expected parameter scale") as caught:
        dist.Normal(0.0, -1.0)
    assert type(caught.value) is ValueError


def test_repr_shows_what_is_wrapped():
    normal = dist.Normal(torch.zeros(2), 1.0)
    assert "Normal" in repr(normal.mask(torch.tensor([True, False]))) and "(2,)" in repr(normal.mask(torch.ones(2) > 0))
    assert "(3, 2)" in repr(plain(2).expand((3, 2)))


def test_nothing_in_torch_is_patched():
    assert torchdist.Normal.log_prob.__module__ == "torch.distributions.normal"
    assert torchdist.Geometric.log_prob.__module__ == "torch.distributions.geometric"
    assert not hasattr(torchdist.TransformedDistribution, "clear_cache")
    assert not hasattr(torchdist.Normal(0.0, 1.0), "to_event")
