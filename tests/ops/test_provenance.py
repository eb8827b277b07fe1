from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import biject_to, constraints
from pyroxene.ops.provenance import (
    ProvenanceTensor,
    detach_provenance,
    extract_provenance,
    get_provenance,
    track_provenance,
)


def from_a(*shape):
    return track_provenance(torch.ones(shape), frozenset("a"))


def from_b(*shape):
    return track_provenance(torch.ones(shape), frozenset("b"))


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


OPERATIONS = {
    "add": (lambda: from_a() + from_b(), "ab"),
    "radd": (lambda: 1 + from_a(), "a"),
    "keyword argument": (lambda: torch.add(torch.ones(2), other=from_a(2)), "a"),
    "comparison": (lambda: from_a(2) == from_b(2), "ab"),
    "index with a tracked index": (lambda: torch.arange(3)[from_a().long()], "a"),
    "index a tracked tensor": (lambda: from_a(3)[torch.tensor([0, 1])], "a"),
    "index in a tuple": (lambda: torch.zeros(3, 3)[from_a().long(), :], "a"),
    "boolean index": (lambda: torch.zeros(3)[from_a(3).bool()], "a"),
    "stack": (lambda: torch.stack([from_a(1), from_b(1), torch.ones(1)]), "ab"),
    "cat": (lambda: torch.cat([torch.ones(1), from_b(1)]), "b"),
    "where": (lambda: torch.where(from_a(2) > 0, from_b(2), torch.zeros(2)), "ab"),
    "einsum": (lambda: torch.einsum("i,ij->j", from_a(2), from_b(2, 3)), "ab"),
    "scatter": (lambda: torch.zeros(3).scatter(0, from_a(2).long(), from_b(2)), "ab"),
    "gather": (lambda: torch.zeros(3).gather(0, from_a(2).long()), "a"),
    "result of an in-place operation": (lambda: torch.zeros(2).add_(from_b(2)), "b"),
    "detach": (lambda: from_a(2).detach(), "a"),
    "clone": (lambda: from_a(2).clone(), "a"),
    "property": (lambda: from_a(2, 3).mT, "a"),
    "new_zeros": (lambda: from_a(2).new_zeros(3), "a"),
    "zeros_like": (lambda: torch.zeros_like(from_a(2)), "a"),
    "Parameter": (lambda: torch.nn.Parameter(from_a(2)), "a"),
    "linear": (lambda: torch.nn.Linear(3, 2)(from_a(3)), "a"),
    "gru": (lambda: torch.nn.GRU(3, 2)(from_a(1, 1, 3))[0], "a"),
    "autograd function": (lambda: Double.apply(from_a(2)), "a"),
    "multinomial": (lambda: torch.multinomial(from_a(3), 2), "a"),
    "as_tensor": (lambda: torch.as_tensor(from_a()), "a"),
    "transform": (lambda: biject_to(constraints.simplex)(from_a(2)), "a"),
    "deepcopy": (lambda: copy.deepcopy(from_a(2)), "a"),
    # where provenance ends, as in Pyro
    "item": (lambda: torch.tensor(from_a().item()), ""),
    "tensor": (lambda: torch.tensor([from_a(), from_b()]), ""),
    "vmap": (lambda: torch.func.vmap(lambda x: x * 2)(from_a(3)), ""),
    "vmap over a closure": (lambda: torch.func.vmap(lambda x: x * from_b())(torch.ones(3)), ""),
    "gradient": (lambda: torch.func.grad(lambda x: (2 * x).sum())(from_a(3)), ""),
    "pickle": (lambda: pickle.loads(pickle.dumps(from_a(2))), ""),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_hands_on_the_union(name):
    torch.manual_seed(0)
    operation, expected = OPERATIONS[name]
    result = operation()
    assert get_provenance(result) == set(expected)
    assert isinstance(result, ProvenanceTensor) == bool(expected)


DISTRIBUTIONS = {
    "Normal": lambda a, b: dist.Normal(a, b),
    "Gamma": lambda a, b: dist.Gamma(a, b),
    "Beta": lambda a, b: dist.Beta(a, b),
    "StudentT": lambda a, b: dist.StudentT(3.0, a, b),
    "LogNormal": lambda a, b: dist.LogNormal(a, b),
    "Uniform": lambda a, b: dist.Uniform(a, 1 + b),
    "MultivariateNormal": lambda a, b: dist.MultivariateNormal(a.expand(2), covariance_matrix=torch.eye(2) * b),
    "Categorical": lambda a, b: dist.Categorical(logits=torch.stack([a, b])),
    "Binomial": lambda a, b: dist.Binomial(3, logits=a * b),
    "Delta": lambda a, b: dist.Delta(a, log_density=b),
    "masked": lambda a, b: dist.Normal(0.0, 1.0).mask((a > 0) & (b > 0)),
    "mixture": lambda a, b: dist.MixtureSameFamily(
        dist.Categorical(logits=torch.stack([a, a])), dist.Normal(b.expand(2), 1.0)
    ),
    "independent": lambda a, b: dist.Normal(a.expand(2), b).to_event(1),
    "expanded": lambda a, b: dist.Normal(a, b).expand([3]),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_validate_and_score_tracked_tensors(name):
    torch.manual_seed(0)
    fn = DISTRIBUTIONS[name](from_a(), from_b())
    fn._validate_args = True
    value = detach_provenance(fn())
    log_prob = fn.log_prob(track_provenance(value, frozenset("v")))
    assert get_provenance(log_prob) == {"a", "b", "v"}
    plain = DISTRIBUTIONS[name](torch.tensor(1.0), torch.tensor(1.0))
    assert torch.allclose(detach_provenance(log_prob), plain.log_prob(value))


def test_an_invalid_argument_is_still_found():
    with pytest.raises(ValueError, match="scale"):
        dist.Normal(0.0, -from_a(), validate_args=True)


@pytest.mark.parametrize("fn", [dist.Normal, dist.Gamma, dist.Beta])
def test_samples_carry_the_provenance_of_the_parameters(fn):
    assert get_provenance(fn(from_a(), from_b())()) == {"a", "b"}


def test_the_provenance_of_a_distribution_is_that_of_its_tensors():
    fn = dist.Normal(from_a(2), from_b(2)).to_event(1)
    assert get_provenance(fn) == {"a", "b"}
    plain = detach_provenance(fn)
    assert get_provenance(plain) == set() and get_provenance(fn) == {"a", "b"}
    assert plain.batch_shape == () and plain.log_prob(torch.zeros(2)).shape == ()
    assert get_provenance(track_provenance(plain, frozenset("c"))) == {"c"}


def test_containers_keep_their_kind():
    pair = namedtuple("pair", "x y")
    nested = {"t": (torch.ones(1), 3), "l": [pair(torch.ones(1), "s")], "o": OrderedDict(z=torch.ones(1)), "n": None}
    tracked = track_provenance(nested, frozenset("a"))
    assert type(tracked["l"][0]) is pair and type(tracked["o"]) is OrderedDict
    assert tracked["t"][1] == 3 and tracked["l"][0].y == "s" and tracked["n"] is None
    assert all(type(x) is ProvenanceTensor for x in (tracked["t"][0], tracked["l"][0].x, tracked["o"]["z"]))
    assert type(nested["t"][0]) is torch.Tensor
    assert get_provenance({from_a(1)}) == get_provenance(frozenset({from_a(1)})) == {"a"}


def test_several_results_come_in_torchs_own_tuples():
    result = from_a(4).max(0)
    assert type(result) is torch.return_types.max
    assert get_provenance(result.values) == get_provenance(result.indices) == {"a"}
    assert type(from_a(2, 3).shape) is torch.Size and from_a(2, 3).shape.numel() == 6


def test_names_add_up_and_nothing_to_remember_is_a_plain_tensor():
    assert get_provenance(track_provenance(from_a(2), frozenset("c"))) == {"a", "c"}
    assert get_provenance(ProvenanceTensor(from_a(2), frozenset("c"))) == {"a", "c"}
    plain = torch.ones(2)
    assert track_provenance(plain, frozenset()) is plain and ProvenanceTensor(plain) is plain
    assert track_provenance("text", frozenset("a")) == "text"


def test_extract_returns_the_very_tensor():
    plain = torch.ones(2)
    back, names = extract_provenance(track_provenance(plain, frozenset("a")))
    assert back is plain and names == {"a"}


def test_in_place_operations_write_through_and_leave_the_target_its_names():
    target = torch.zeros(2)
    tracked = track_provenance(target, frozenset("a"))
    tracked += from_b(2)
    assert torch.equal(target, torch.ones(2)) and get_provenance(tracked) == {"a", "b"}
    tracked[0] = 5.0
    assert target[0] == 5.0
    written = from_a(2)
    written[0] = from_b()
    assert get_provenance(written) == {"a"}


def test_numbers_and_branches():
    x = from_a()
    assert x.item() == float(x) == 1.0 and bool(x) and int(x) == 1
    assert [10, 20, 30][x.long()] == 20 and list(range(x.long())) == [0]
    assert (1 if (x > 0).all() else 2) == 1
    assert f"{x:.2f}" == "1.00" and from_a(2).tolist() == [1.0, 1.0]
    assert type(from_a(2).numpy()) is np.ndarray and np.array(from_a(2)).sum() == 2


def test_gradients_reach_a_tracked_leaf():
    leaf = torch.ones(2, requires_grad=True)
    tracked = track_provenance(leaf, frozenset("a"))
    assert tracked.is_leaf and tracked.requires_grad
    (tracked**2).sum().backward()
    assert torch.equal(leaf.grad, torch.tensor([2.0, 2.0]))
    (gradient,) = torch.autograd.grad((3 * tracked).sum(), [leaf])
    assert torch.equal(detach_provenance(gradient), torch.tensor([3.0, 3.0]))


def test_attributes_of_a_tensor_are_seen():
    plain = torch.ones(2)
    plain.note = "kept"
    assert track_provenance(plain, frozenset("a")).note == "kept"


def test_repr_shows_names_and_values():
    assert repr(from_a(2)) == "Provenance:\nfrozenset({'a'})\nTensor:\ntensor([1., 1.])"
