"""OneOneMatching and OneTwoMatching against sums over all matchings, and against Bethe's free energy."""

from __future__ import annotations

import math

import pytest
import torch

from pyroxene.distributions.families.one_one_matching import OneOneMatching
from pyroxene.distributions.families.one_two_matching import OneTwoMatching
from pyroxene.distributions.testing.gof import multinomial_goodness_of_fit
from pyroxene.errors import CannotSampleError, ParameterError, SupportError, UnsupportedError, UsageError

F64 = torch.float64
BOTH = pytest.mark.parametrize("cls", [OneOneMatching, OneTwoMatching])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def logits_of(cls, num_destinations, *batch, scale=1.0):
    return scale * torch.randn(*batch, cls.capacity * num_destinations, num_destinations, dtype=F64)


def weights(d, values):
    """The sum of the logits that each matching uses, by plain indexing."""
    rows = range(d.num_sources)
    return torch.stack([sum(d.logits[s, v[s]] for s in rows) for v in values.tolist()])


@BOTH
@pytest.mark.parametrize("num_destinations", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_partition_function_is_the_sum_over_all_matchings(cls, num_destinations, scale):
    d = cls(logits_of(cls, num_destinations, scale=scale))
    values = d.enumerate_support()
    count = math.factorial(d.num_sources) // math.factorial(cls.capacity) ** num_destinations
    assert values.shape == (count, d.num_sources) and len({tuple(v) for v in values.tolist()}) == count
    assert d.support.check(values).all()
    torch.testing.assert_close(d.log_partition_function, weights(d, values).logsumexp(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(d.mode(), values[d.log_prob(values).argmax()])


@BOTH
def test_samples_are_exact(cls):
    d = cls(logits_of(cls, 3))
    values = d.enumerate_support()
    samples = d.sample((4000,))
    assert d.support.check(samples).all()
    counts = (samples.unsqueeze(1) == values).all(-1).sum(0)
    assert multinomial_goodness_of_fit(d.log_prob(values).exp(), counts) > 1e-6


@BOTH
def test_batches(cls):
    logits = logits_of(cls, 3, 2, 1)
    d = cls(logits)
    assert d.mode().shape == (2, 1, d.num_sources)
    value = d.sample((5,))
    each = torch.stack([cls(logits[i, 0]).log_prob(value[:, i, 0]) for i in range(2)], 1)
    torch.testing.assert_close(d.log_prob(value)[..., 0], each)
    assert cls.infer_shapes(logits.shape) == (d.batch_shape, d.event_shape)
    for bp_iters in (None, 3):
        assert cls(logits, bp_iters=bp_iters).expand((4, 2, 1)).bp_iters == bp_iters


@BOTH
@pytest.mark.parametrize("bp_iters", [None, 8])
def test_gradient_of_the_partition_function_is_the_probability_of_each_pair(cls, bp_iters):
    logits = logits_of(cls, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cls(x, bp_iters=bp_iters).log_partition_function, logits)
    d = cls(logits)
    (gradient,) = torch.autograd.grad(d.log_partition_function, logits)
    values = d.enumerate_support()
    used = torch.nn.functional.one_hot(values, 3).to(F64)
    torch.testing.assert_close(gradient, (d.log_prob(values).exp()[:, None, None] * used).sum(0))


@BOTH
def test_belief_propagation_is_exact_where_all_is_symmetric(cls):
    """With equal logits each belief is 1 / n, so that Bethe's free energy is known in closed form."""
    n, c = 4, cls.capacity
    b, m = 1 / n, c * n
    entropy_of_pairs = m * n * (b * math.log(b) + (1 - b) * math.log(1 - b))
    expected = m * math.log(n) + n * math.log(math.comb(m, c)) + entropy_of_pairs
    got = cls(torch.zeros(m, n, dtype=F64), bp_iters=30).log_partition_function
    assert float(got) == pytest.approx(expected, abs=1e-9)


def test_belief_propagation_minimises_bethes_free_energy_and_bounds_the_permanent_from_below():
    for scale in (0.3, 1.0):
        d = OneOneMatching(logits_of(OneOneMatching, 5, scale=scale).requires_grad_(), bp_iters=200)
        log_sum = d.log_partition_function
        (beliefs,) = torch.autograd.grad(log_sum, d.logits)
        torch.testing.assert_close(beliefs.sum(0), torch.ones(5, dtype=F64), rtol=0, atol=1e-6)
        free = beliefs * d.logits - torch.xlogy(beliefs, beliefs) + torch.xlogy(1 - beliefs, 1 - beliefs)
        torch.testing.assert_close(free.sum(), log_sum, rtol=1e-6, atol=1e-6)
        exact = OneOneMatching(d.logits).log_partition_function
        assert exact - 2.5 * math.log(2) < log_sum < exact  # Gurvits' bounds for n = 5


@BOTH
def test_belief_propagation_finds_a_matching_that_outweighs_all_others(cls):
    logits = logits_of(cls, 4)
    best = cls(logits).mode()
    logits = logits + 50 * torch.nn.functional.one_hot(best, 4)
    torch.testing.assert_close(
        cls(logits, bp_iters=20).log_partition_function, cls(logits).log_partition_function, rtol=1e-6, atol=0
    )
    assert cls(logits_of(cls, 1), bp_iters=1).log_prob(torch.zeros(cls.capacity, dtype=torch.long)) == 0


@BOTH
def test_mistakes(cls):
    with pytest.raises(ParameterError, match="wrong shape"):
        cls(torch.zeros(3, 2))
    with pytest.raises(UsageError, match="bp_iters"):
        cls(logits_of(cls, 2), bp_iters=0)
    d = cls(logits_of(cls, 2), validate_args=True)
    for value in (torch.zeros(d.num_sources), torch.full((d.num_sources,), 2)):
        with pytest.raises(SupportError, match="within the support"):
            d.log_prob(value)
    with pytest.raises(CannotSampleError, match="bp_iters"):
        cls(logits_of(cls, 2), bp_iters=2).sample()
    big = cls(torch.zeros(cls.capacity * 30, 30))
    with pytest.raises(UnsupportedError, match="too large"):
        big.log_prob(big.mode())
    with pytest.raises(UnsupportedError, match="too many"):
        big.enumerate_support()
    assert cls(big.logits, bp_iters=5).log_prob(big.mode()).isfinite()
    assert d.support == cls(logits_of(cls, 2)).support and hash(d.support) == hash(cls(logits_of(cls, 2)).support)
    assert not d.support.check(torch.zeros(7, d.num_sources + 1)).any()
