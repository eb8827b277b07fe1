"""SpanningTree: random trees that connect all vertices of a graph, weighted edge by edge."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import gather
from pyroxene.errors import ParameterError, SupportError, UnsupportedError, UsageError
from pyroxene.ops.lazily import Lazily

__all__ = ["NUM_SPANNING_TREES", "SpanningTree", "find_best_tree", "make_complete_graph", "sample_tree"]

sparse, csgraph = Lazily("scipy.sparse"), Lazily("scipy.sparse.csgraph")

NUM_SPANNING_TREES = [1 if v < 2 else v ** (v - 2) for v in range(20)]
"""How many spanning trees a complete graph has, by its number of vertices (Cayley's formula; 1 for no vertices)."""

_MOST_LISTED = 8  # vertices; 262 144 trees


def _check_backend(backend: str) -> None:
    """Raise unless the backend is known; "cpp" names the same code as "python" here."""
    if backend not in ("python", "cpp"):
        raise UsageError(f"unknown backend: {backend!r}", expected="'python' or 'cpp'", got=backend)


def _num_vertices(num_edges: int) -> int:
    """The number of vertices of the complete graph with so many edges."""
    num_vertices = round(0.5 + (0.25 + 2 * num_edges) ** 0.5)
    if num_vertices * (num_vertices - 1) // 2 != num_edges:
        raise ParameterError(
            "edge_logits does not have one entry for each edge of a complete graph",
            expected="V (V - 1) / 2 entries: 1, 3, 6, 10, ...",
            got=f"{num_edges} entries",
        )
    return num_vertices


def make_complete_graph(num_vertices: int, backend: str = "python") -> torch.Tensor:
    """Return the edges of a complete graph in colexicographic order, (2, num_vertices (num_vertices - 1) / 2).

    Edge k joins v1 = grid[0, k] < v2 = grid[1, k], where k = v1 + v2 (v2 - 1) / 2.

    Args:
        num_vertices: at least 2.
        backend: "python" or "cpp", for which the same code runs.

    Example:
        >>> make_complete_graph(3)
        tensor([[0, 0, 1],
                [1, 2, 2]])
    """
    _check_backend(backend)
    if num_vertices < 2:
        raise UsageError("a graph with edges has at least two vertices", got=num_vertices)
    v2, v1 = torch.tril_indices(num_vertices, num_vertices, -1)
    return torch.stack([v1, v2])


def _edge_index(edges: torch.Tensor) -> torch.Tensor:
    """The place of each edge in a complete graph; edges (..., 2)."""
    v1, v2 = edges[..., 0], edges[..., 1]
    return v1 + v2 * (v2 - 1) // 2


def _sorted_edges(pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Edges as (min, max), in colexicographic order."""
    ordered = sorted((max(pair), min(pair)) for pair in pairs)
    return torch.tensor([(a, b) for b, a in ordered], dtype=torch.long).reshape(-1, 2)


def _choose(logits: np.ndarray) -> int:
    """Draw an index with probability proportional to exp(logits), by Gumbel's trick on torch's generator."""
    noise = torch.empty(len(logits), dtype=torch.float64).exponential_().numpy()
    return int(np.argmax(logits - np.log(noise)))


def _component(edges: Sequence[Sequence[int]], num_vertices: int, root: int) -> np.ndarray:
    """Which vertices a forest joins to a root, (num_vertices,)."""
    neighbours: list[list[int]] = [[] for _ in range(num_vertices)]
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    found, pending = np.zeros(num_vertices, dtype=bool), [root]
    found[root] = True
    while pending:
        for v in neighbours[pending.pop()]:
            if not found[v]:
                found[v] = True
                pending.append(v)
    return found


def _draw_crossing(logits: np.ndarray, grid: np.ndarray, inside: np.ndarray) -> tuple[int, int]:
    """Draw an edge among those that lead out of a set of vertices."""
    crossing = np.flatnonzero(inside[grid[0]] != inside[grid[1]])
    v1, v2 = grid[:, crossing[_choose(logits[crossing])]].tolist()
    return v1, v2


def _sample_tree_mcmc(logits: np.ndarray, grid: np.ndarray, edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """One sweep of Gibbs sampling: each edge in turn is taken out and replaced by one that joins the two halves.

    The full conditional of an edge given the others is proportional to exp(logit) over the edges of the cut.
    """
    for e in torch.randperm(len(edges)).tolist():
        inside = _component(edges[:e] + edges[e + 1 :], len(edges) + 1, edges[e][0])
        edges = [*edges[:e], _draw_crossing(logits, grid, inside), *edges[e + 1 :]]
    return edges


def _sample_tree_approx(logits: np.ndarray, grid: np.ndarray) -> list[tuple[int, int]]:
    """Grow a tree edge by edge from a random vertex, each drawn among those that lead out of it."""
    num_vertices = int(grid.max()) + 1
    inside = np.zeros(num_vertices, dtype=bool)
    inside[int(torch.randint(num_vertices, ()))] = True
    edges: list[tuple[int, int]] = []
    for _ in range(num_vertices - 1):
        edges.append(_draw_crossing(logits, grid, inside))
        inside[list(edges[-1])] = True
    return edges


def _weight_matrix(edge_logits: torch.Tensor) -> torch.Tensor:
    """Symmetric matrices of logits, (..., num_vertices, num_vertices); the diagonal is 0."""
    v1, v2 = np.triu_indices(_num_vertices(edge_logits.shape[-1]), 1)
    place = np.zeros((v2.max(initial=0) + 1,) * 2, dtype=np.int64)
    place[v1, v2] = place[v2, v1] = v1 + v2 * (v2 - 1) // 2
    index = torch.as_tensor(place, device=edge_logits.device)
    apart = 1 - torch.eye(len(place), dtype=edge_logits.dtype, device=edge_logits.device)
    return edge_logits[..., index] * apart


def _sample_tree_exact(edge_logits: torch.Tensor) -> torch.Tensor:
    """Draw an exact sample by Wilson's algorithm: loop-erased random walks until all vertices are joined."""
    num_vertices = _num_vertices(len(edge_logits))
    logits = _weight_matrix(edge_logits).double()
    logits.fill_diagonal_(-torch.inf)
    steps = logits.softmax(-1).cumsum(-1).numpy()
    joined = np.zeros(num_vertices, dtype=bool)
    joined[0] = True
    following = np.zeros(num_vertices, dtype=np.int64)
    pairs = []
    for start in range(num_vertices):
        v = start
        while not joined[v]:
            uniform = float(torch.rand((), dtype=torch.float64)) * steps[v, -1]
            following[v] = np.searchsorted(steps[v], uniform, side="right")  # a later visit overwrites: loops vanish
            v = following[v]
        v = start
        while not joined[v]:
            joined[v] = True
            pairs.append((int(v), int(following[v])))
            v = following[v]
    return _sorted_edges(pairs)


@torch.no_grad()
def sample_tree(
    edge_logits: torch.Tensor, init_edges: torch.Tensor | None = None, mcmc_steps: int = 1, backend: str = "python"
) -> torch.Tensor:
    """Draw an approximate sample of a spanning tree by Gibbs sampling.

    Args:
        edge_logits: log weight of each edge of a complete graph, shape (V (V - 1) / 2,).
        init_edges: the tree to start from, shape (V - 1, 2); None for one grown at random.
        mcmc_steps: how many sweeps over all edges.
        backend: "python" or "cpp", for which the same code runs.

    Returns:
        Edges, (V - 1, 2), smaller vertex first, in colexicographic order.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> sample_tree(torch.tensor([50.0, 0.0, 50.0]))  # 0-1 and 1-2 outweigh 0-2
        tensor([[0, 1],
                [1, 2]])
    """
    _check_backend(backend)
    logits = edge_logits.detach().double().cpu().numpy()
    grid = make_complete_graph(_num_vertices(len(logits))).numpy()
    if init_edges is None:
        edges = _sample_tree_approx(logits, grid)
    else:
        edges = [(a, b) for a, b in init_edges.tolist()]
    for _ in range(mcmc_steps):
        edges = _sample_tree_mcmc(logits, grid, edges)
    return _sorted_edges(edges)


@torch.no_grad()
def find_best_tree(edge_logits: torch.Tensor, backend: str = "python") -> torch.Tensor:
    """Return the spanning tree of the greatest total weight.

    Args:
        edge_logits: log weight of each edge of a complete graph, shape (V (V - 1) / 2,).
        backend: "python" or "cpp", for which the same code runs.

    Returns:
        Edges, (V - 1, 2), smaller vertex first, in colexicographic order.

    Example:
        >>> find_best_tree(torch.tensor([1.0, 3.0, 2.0]))
        tensor([[0, 2],
                [1, 2]])
    """
    _check_backend(backend)
    ranks = np.empty(len(edge_logits))  # positive weights in the logits' order: to scipy a zero is no edge
    ranks[(-edge_logits.detach().cpu().double()).argsort().numpy()] = np.arange(1, len(edge_logits) + 1)
    v1, v2 = make_complete_graph(_num_vertices(len(edge_logits))).numpy()
    weights = sparse.coo_array((ranks, (v1, v2)), shape=(v2.max() + 1,) * 2)
    tree = csgraph.minimum_spanning_tree(weights.tocsr()).tocoo()
    return _sorted_edges(list(zip(tree.row.tolist(), tree.col.tolist())))


@functools.lru_cache(maxsize=_MOST_LISTED + 1)
def _all_trees(num_vertices: int) -> torch.Tensor:
    """Every tree on labelled vertices, (num_trees, num_vertices - 1, 2), by decoding every Pruefer sequence."""
    trees = []
    for sequence in itertools.product(range(num_vertices), repeat=max(num_vertices - 2, 0)):
        degree = [1 + sequence.count(v) for v in range(num_vertices)]
        leaves = [v for v in range(num_vertices) if degree[v] == 1]
        heapq.heapify(leaves)
        pairs = []
        for v in sequence:
            pairs.append((heapq.heappop(leaves), v))
            degree[v] -= 1
            if degree[v] == 1:
                heapq.heappush(leaves, v)
        if num_vertices > 1:
            pairs.append((heapq.heappop(leaves), heapq.heappop(leaves)))
        trees.append(_sorted_edges(pairs))
    return torch.stack(trees)


class SpanningTree(TorchDistribution):
    """Random spanning tree of a complete graph on V vertices.

    A tree T has probability exp(sum of edge_logits over its edges) / Z. By Kirchhoff's matrix-tree theorem Z is the
    determinant of the graph's Laplacian without one row and column, here in V steps on log weights. The support is the
    set of the V^(V - 2) trees. Edges are numbered as in `make_complete_graph`; a tree is a tensor of edges, (V - 1, 2),
    the smaller vertex of each edge first, the edges in the order of their numbers.

    Args:
        edge_logits: log weight of each edge, shape (*batch_shape, V (V - 1) / 2); a very low one is as good as no edge.
        sampler_options: None for exact samples by Wilson's algorithm; else a dict with the arguments of `sample_tree`,
            `mcmc_steps` and `backend`, for Gibbs sampling.
        validate_args: whether to check the argument and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: the number of logits is not V (V - 1) / 2.

    Source: Kirchhoff (1847); Wilson (1996), Generating random spanning trees more quickly than the cover time; for the
    elimination, Grassmann, Taksar and Heyman (1985), Regenerative analysis and steady state distributions.

    Example:
        >>> d = SpanningTree(torch.zeros(6))
        >>> d.log_prob(torch.tensor([[0, 1], [1, 2], [2, 3]])).exp()  # one of 16
        tensor(0.0625)
        >>> d.edge_mean[0, 1]  # each of six edges is in half of the trees
        tensor(0.5000)
    """

    arg_constraints = {"edge_logits": constraints.independent(constraints.real, 1)}
    support = constraints.independent(constraints.nonnegative_integer, 2)
    has_enumerate_support = True

    def __init__(
        self,
        edge_logits: torch.Tensor,
        sampler_options: Mapping[str, Any] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if edge_logits.dim() == 0 or edge_logits.shape[-1] == 0:
            raise ParameterError(
                "edge_logits must be vectors", expected="(..., V (V - 1) / 2) with V > 1", got=tuple(edge_logits.shape)
            )
        self.num_vertices = _num_vertices(edge_logits.shape[-1])
        self.edge_logits = edge_logits
        self.sampler_options = None if sampler_options is None else dict(sampler_options)
        event_shape = torch.Size((self.num_vertices - 1, 2))
        super().__init__(edge_logits.shape[:-1], event_shape, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, edge_logits: Sequence[int], sampler_options: object = None) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(edge_logits[:-1]), torch.Size((_num_vertices(edge_logits[-1]) - 1, 2))

    def expand(self, batch_shape: Size, _instance: Any = None) -> SpanningTree:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        logits = self.edge_logits.expand(torch.Size(batch_shape) + self.edge_logits.shape[-1:])
        SpanningTree.__init__(new, logits, self.sampler_options, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def validate_edges(self, edges: torch.Tensor) -> None:
        """Check that edges are sorted and make up a tree.

        Raises:
            ShapeError: the shape is not (..., V - 1, 2).
            SupportError: a vertex does not exist, an edge or the edges are out of order, or a vertex is not reached.
        """
        self._validate_sample(edges)
        v1, v2 = edges[..., 0], edges[..., 1]
        number = _edge_index(edges)
        flat = edges.reshape(-1, self.num_vertices - 1, 2).long()
        for right, what in [
            (v1 < v2, "Vertices are not sorted in each edge"),
            (v2 < self.num_vertices, "A vertex does not exist"),
            (number[..., :-1] < number[..., 1:], "Edges are not sorted colexicographically"),
        ]:
            if not bool(right.all()):
                raise SupportError(f"{what}:\n{edges}", hint="sort each edge, then the edges by larger and smaller end")
        if not all(_component(each, self.num_vertices, 0).all() for each in flat.tolist()):
            raise SupportError(f"Edges do not make up a tree:\n{edges}")

    def _log_sum(self, edge_logits: torch.Tensor) -> torch.Tensor:
        """The log determinant of the Laplacian without one row and column, by elimination without subtraction.

        Taking out a vertex v whose edges weigh w_i adds an edge of weight w_i w_j / sum(w) between each two of its
        neighbours; the sums multiply to the determinant. All terms are positive, so no weight is too small to count.
        """
        weights, total = _weight_matrix(edge_logits), edge_logits.new_zeros(())
        for v in range(self.num_vertices - 1, 0, -1):
            row = weights[..., v, :v]
            degree = row.logsumexp(-1)
            total = total + degree
            through = row.unsqueeze(-1) + row.unsqueeze(-2) - degree[..., None, None]
            weights = torch.logaddexp(weights[..., :v, :v], through)
        return total

    @property
    def log_partition_function(self) -> torch.Tensor:
        """The log of the sum of the weights of all trees, shape batch_shape."""
        return self._log_sum(self.edge_logits)

    def log_prob(self, edges: torch.Tensor) -> torch.Tensor:
        """Return the log probability of trees, (*sample_shape, *batch_shape).

        Args:
            edges: (..., V - 1, 2), sorted as the class says.
        """
        if self._validate_args:
            self.validate_edges(edges)
        return gather(self.edge_logits, _edge_index(edges.long()), -1).sum(-1) - self.log_partition_function

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw trees one by one, (*sample_shape, *batch_shape, V - 1, 2)."""
        shape = self.shape(sample_shape)
        logits = self.edge_logits.detach().cpu()
        logits = logits.expand(shape[:-2] + logits.shape[-1:]).reshape(-1, logits.shape[-1])
        options = self.sampler_options
        trees = [_sample_tree_exact(each) if options is None else sample_tree(each, **options) for each in logits]
        return torch.stack(trees).reshape(shape).to(self.edge_logits.device)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """Return all trees along a new first dimension.

        Raises:
            UnsupportedError: there are more than 8 vertices.
        """
        if self.num_vertices > _MOST_LISTED:
            raise UnsupportedError("there are too many trees to list", expected=f"at most {_MOST_LISTED} vertices")
        trees = _all_trees(self.num_vertices).to(self.edge_logits.device)
        trees = trees.reshape(trees.shape[:1] + (1,) * len(self._batch_shape) + trees.shape[1:])
        return trees.expand(trees.shape[:1] + self.shape()) if expand else trees

    @property
    def mode(self) -> torch.Tensor:
        """The heaviest tree of each batch entry, (*batch_shape, V - 1, 2)."""
        flat = self.edge_logits.reshape(-1, self.edge_logits.shape[-1])
        return torch.stack([find_best_tree(each) for each in flat]).reshape(self.shape()).to(flat.device)

    @property
    def edge_mean(self) -> torch.Tensor:
        """The probability that a tree holds each edge, a symmetric matrix, (*batch_shape, V, V).

        It is the derivative of the log partition function by the edge's logit.
        """
        logits = self.edge_logits
        with torch.enable_grad():
            leaf = logits if logits.requires_grad else logits.detach().requires_grad_()
            (mean,) = torch.autograd.grad(self._log_sum(leaf).sum(), leaf, create_graph=logits.requires_grad)
        return _weight_matrix(mean)
