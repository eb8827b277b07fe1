"""Transforms of torch and of ours survive copies and pickles, cached values and inverses included."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
import torch
import torch.distributions as td

from pyroxene.distributions import transforms as T


def test_an_inverse_still_inverts() -> None:
    for clone in (pickle.loads(pickle.dumps(T.ExpTransform().inv)), copy.deepcopy(T.ExpTransform().inv)):
        assert clone == T.ExpTransform().inv
        torch.testing.assert_close(clone(torch.tensor(1.0)), torch.tensor(0.0))


def test_a_transform_and_its_inverse_stay_a_pair() -> None:
    transform = T.ExpTransform()
    one, other = pickle.loads(pickle.dumps((transform, transform.inv)))
    assert other.inv is one
    one, other = copy.deepcopy((transform.inv, transform))
    assert one.inv is other


@pytest.mark.parametrize("make", [T.SigmoidTransform, T.OrderedTransform, T.CorrCholeskyTransform, T.Normalize])
def test_a_distribution_whose_transform_holds_a_graph_copies(make: type[T.Transform]) -> None:
    scale = torch.ones(3, requires_grad=True)
    base = td.Normal(torch.zeros(3), scale)
    if make is not T.SigmoidTransform:
        base = td.Independent(base, 1)
    fn = td.TransformedDistribution(base, [make(cache_size=1)])
    torch.manual_seed(0)
    value = fn.rsample()
    assert value.grad_fn is not None
    clone = copy.deepcopy(fn)
    other = pickle.loads(pickle.dumps(fn))
    assert fn.transforms[0]._cached_x_y[1] is value
    assert clone.transforms[0]._cached_x_y == other.transforms[0]._cached_x_y == (None, None)
    if make is not T.Normalize:
        torch.testing.assert_close(clone.log_prob(value), fn.log_prob(value))
        torch.testing.assert_close(other.log_prob(value), fn.log_prob(value))


def test_torch_pickles_need_only_torch() -> None:
    chain = T.ComposeTransform([T.ExpTransform(cache_size=1).inv, T.AffineTransform(1.0, torch.tensor(2.0))])
    stored = pickle.dumps(chain)
    assert b"pyroxene" not in stored
    program = (
        "import pickle, sys, torch; t = pickle.loads(sys.stdin.buffer.read());"
        "assert t(torch.ones(())) == 1.0 and t.inv(torch.ones(())) == 1.0"
    )
    subprocess.run([sys.executable, "-c", program], input=stored, check=True)


def test_torch_save_and_load(tmp_path: object) -> None:
    path = f"{tmp_path}/transform.pt"
    transform = T.LowerCholeskyAffine(torch.ones(2), torch.eye(2))
    torch.save([transform, transform.inv], path)
    loaded, inverse = torch.load(path, weights_only=False)
    assert loaded == transform and inverse.inv is loaded
