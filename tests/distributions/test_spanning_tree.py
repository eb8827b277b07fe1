"""SpanningTree against lists of all trees, with its samplers."""

from __future__ import annotations

import itertools

import pytest
import torch

from pyroxene.distributions.spanning_tree import (
    NUM_SPANNING_TREES,
    SpanningTree,
    find_best_tree,
    make_complete_graph,
    sample_tree,
)
from pyroxene.distributions.testing.gof import multinomial_goodness_of_fit
from pyroxene.errors import ParameterError, ShapeError, SupportError, UnsupportedError, UsageError

F64 = torch.float64


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def trees_of(num_vertices):
    """All trees, found among all sets of edges by merging components."""
    found = []
    grid = [tuple(e) for e in make_complete_graph(num_vertices).mT.tolist()]
    for edges in itertools.combinations(grid, num_vertices - 1):
        part = list(range(num_vertices))
        for a, b in edges:
            part = [part[a] if p == part[b] else p for p in part]
        if len(set(part)) == 1:
            found.append(edges)
    return set(found)


@pytest.mark.parametrize("num_vertices", [2, 3, 4, 5])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_density_is_that_of_all_trees(num_vertices, scale):
    logits = scale * torch.randn(num_vertices * (num_vertices - 1) // 2, dtype=F64)
    d = SpanningTree(logits)
    trees = d.enumerate_support()
    assert len(trees) == NUM_SPANNING_TREES[num_vertices]
    assert {tuple(map(tuple, tree)) for tree in trees.tolist()} == trees_of(num_vertices)
    index = {tuple(e): k for k, e in enumerate(make_complete_graph(num_vertices).mT.tolist())}
    weights = torch.stack([sum(logits[index[tuple(e)]] for e in tree) for tree in trees.tolist()])
    torch.testing.assert_close(d.log_partition_function, weights.logsumexp(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d.log_prob(trees), weights.log_softmax(0), rtol=1e-10, atol=1e-10)
    assert torch.equal(d.mode, trees[weights.argmax()])
    mean = torch.zeros(num_vertices, num_vertices, dtype=F64)
    for p, tree in zip(d.log_prob(trees).exp(), trees):
        mean[tree[:, 0], tree[:, 1]] += p
    torch.testing.assert_close(d.edge_mean, mean + mean.mT, rtol=1e-9, atol=1e-12)


def test_weak_edges_keep_their_digits():
    """Two pairs of vertices, joined by edges of weight e^-90 only: a determinant in floats would vanish."""
    logits = torch.tensor([0.0, -90.0, -90.0, -90.0, -90.0, 0.0], dtype=F64)
    exact = torch.tensor(4.0, dtype=F64).log() - 90
    torch.testing.assert_close(SpanningTree(logits).log_partition_function, exact, rtol=1e-14, atol=0)


@pytest.mark.parametrize("options", [None, {"mcmc_steps": 4}, {"mcmc_steps": 4, "backend": "cpp"}], ids=str)
def test_samples(options):
    d = SpanningTree(torch.randn(6, dtype=F64), options)
    trees, samples = d.enumerate_support(), d.sample((1500,))
    d.validate_edges(samples)
    counts = (samples.unsqueeze(1) == trees).all(-1).all(-1).sum(0)
    assert multinomial_goodness_of_fit(d.log_prob(trees).exp(), counts) > 1e-6


def test_gibbs_sampling_moves_from_where_it_starts():
    logits = torch.full((6,), -50.0)
    best = torch.tensor([[0, 1], [1, 2], [2, 3]])
    logits[[0, 2, 5]] = 0.0
    start = torch.tensor([[0, 1], [0, 2], [0, 3]])
    assert torch.equal(sample_tree(logits, init_edges=start, mcmc_steps=5), best)
    assert torch.equal(sample_tree(logits, init_edges=start, mcmc_steps=0), start)
    assert torch.equal(find_best_tree(logits), best)
    assert torch.equal(sample_tree(torch.zeros(1)), torch.tensor([[0, 1]]))


def test_larger_graphs_and_batches():
    d = SpanningTree(torch.randn(2, 3, 45, dtype=F64))
    value = d.sample((2,))
    assert value.shape == (2, 2, 3, 9, 2) and d.log_prob(value).shape == (2, 2, 3)
    torch.testing.assert_close(d.edge_mean.sum((-1, -2)), torch.full((2, 3), 18.0, dtype=F64))
    assert torch.equal(d.mode[1, 2], find_best_tree(d.edge_logits[1, 2]))
    assert (d.log_prob(d.mode) >= d.log_prob(value)).all()
    wide = d.expand((4, 2, 3))
    assert wide.batch_shape == (4, 2, 3) and wide.sampler_options is None
    assert SpanningTree.infer_shapes((2, 3, 45)) == (d.batch_shape, d.event_shape)


def test_gradients():
    logits = torch.randn(6, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: SpanningTree(x).log_partition_function, logits)
    assert torch.autograd.gradcheck(lambda x: SpanningTree(x).edge_mean, logits)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[1, 0], [1, 2], [2, 3]], "Vertices are not sorted"),
        ([[0, 1], [0, 1], [2, 3]], "Edges are not sorted"),
        ([[1, 2], [0, 1], [2, 3]], "Edges are not sorted"),
        ([[0, 1], [0, 2], [1, 2]], "not make up a tree"),
        ([[0, 1], [1, 2], [2, 4]], "does not exist"),
        ([[-1, 1], [1, 2], [2, 3]], "within the support"),
    ],
)
def test_what_is_not_a_tree_is_refused(edges, message):
    d = SpanningTree(torch.zeros(6), validate_args=True)
    with pytest.raises(SupportError, match=message):
        d.log_prob(torch.tensor(edges))


def test_mistakes():
    with pytest.raises(ParameterError, match="one entry for each edge"):
        SpanningTree(torch.zeros(5))
    with pytest.raises(ParameterError, match="vectors"):
        SpanningTree(torch.zeros(()))
    with pytest.raises(ShapeError):
        SpanningTree(torch.zeros(6), validate_args=True).log_prob(torch.tensor([[0, 1]]))
    with pytest.raises(UnsupportedError, match="too many"):
        SpanningTree(torch.zeros(45)).enumerate_support()
    with pytest.raises(UsageError, match="at least two vertices"):
        make_complete_graph(1)
    for make in (lambda: make_complete_graph(3, "java"), lambda: find_best_tree(torch.zeros(3), backend="java")):
        with pytest.raises(ValueError, match="unknown backend"):
            make()
    assert make_complete_graph(4, "cpp").tolist() == [[0, 0, 1, 0, 1, 2], [1, 2, 2, 3, 3, 3]]
    assert NUM_SPANNING_TREES[:6] == [1, 1, 1, 3, 16, 125]
