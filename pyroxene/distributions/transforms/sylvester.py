"""Sylvester flows: planar flows along several orthogonal directions at once.

Source: R. van den Berg, L. Hasenclever, J. M. Tomczak, M. Welling (2018), Sylvester normalizing flows for variational
inference, equations 8 to 14; the orthogonal matrix is that of the Householder kind.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyroxene.distributions.transforms.householder import Householder, reflect
from pyroxene.distributions.transforms.utils import invert_increasing

__all__ = ["Sylvester", "sylvester"]


class Sylvester(Householder):
    """Bijection of vectors: y = x + Q R tanh(S Qᵀ x + b), with Q orthogonal, R and S upper triangular.

    Q is a chain of Householder reflections. The diagonals of R and S are tanh of parameters, so that their products are
    above -1, which makes the map one to one. The log-Jacobian is Σ_i log(1 + R_ii S_ii (1 - tanh²(S Qᵀ x + b)_i)). The
    inverse solves one equation for each entry numerically.

    Args:
        input_dim: the number of entries n.
        count_transforms: the number of reflections K, at least 1. The learnable parameters are `u_unnormed`, shape
            (K, n), `R_dense` and `S_dense`, shape (n, n), of which what stands above the diagonal is used, `R_diag`,
            `S_diag` and `b`, shape (n,).

    Raises:
        UsageError: there is no reflection.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> torch.manual_seed(0) and None
        >>> flow = TransformedDistribution(Normal(torch.zeros(3), torch.ones(3)), [Sylvester(3, 2)])
        >>> flow.log_prob(flow.rsample((5,))).shape
        torch.Size([5])
    """

    volume_preserving = False
    triangular_mask: Tensor

    def __init__(self, input_dim: int, count_transforms: int = 1) -> None:
        super().__init__(input_dim, count_transforms)

        def small(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-0.01, 0.01))

        self.R_dense = small(input_dim, input_dim)
        self.S_dense = small(input_dim, input_dim)
        self.R_diag = small(input_dim)
        self.S_diag = small(input_dim)
        self.b = small(input_dim)
        self.register_buffer("triangular_mask", torch.ones(input_dim, input_dim).triu(1))

    def R(self) -> Tensor:
        """Return R, shape (n, n)."""
        return self.R_dense * self.triangular_mask + torch.tanh(self.R_diag).diag()

    def S(self) -> Tensor:
        """Return S, shape (n, n)."""
        return self.S_dense * self.triangular_mask + torch.tanh(self.S_diag).diag()

    def _slope(self, bend: Tensor) -> Tensor:
        """Return the logs of the derivatives of the entries of Qᵀ y in those of Qᵀ x."""
        product = torch.tanh(self.R_diag) * torch.tanh(self.S_diag)
        return ((1 - bend.square()) * (1 + product) + bend.square()).log()  # both terms are positive

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        turned = reflect(x, self.u_unnormed, backwards=True)  # Qᵀ x
        bend = torch.tanh(turned @ self.S().mT + self.b)
        y = x + reflect(bend @ self.R().mT, self.u_unnormed)
        return y, self._slope(bend).sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        turned = reflect(y, self.u_unnormed, backwards=True)
        upper, lower = self.R(), self.S()
        before: list[Tensor] = []  # entries of Qᵀ x from the last one up, and the bends they make
        bends: list[Tensor] = []
        terms: list[Tensor] = []
        for i in reversed(range(self.input_dim)):
            rest, shift = turned[..., i], self.b[i]
            for j, (entry, bend) in enumerate(zip(before, bends)):
                column = self.input_dim - 1 - j
                rest = rest - upper[i, column] * bend
                shift = shift + lower[i, column] * entry
            outer, inner = upper[i, i], lower[i, i]

            def along(
                z: Tensor, outer: Tensor = outer, inner: Tensor = inner, shift: Tensor = shift
            ) -> tuple[Tensor, Tensor]:
                bend = torch.tanh(inner * z + shift)
                product = outer * inner
                return z + outer * bend, ((1 - bend.square()) * (1 + product) + bend.square()).log()

            bounds = rest.detach() - 1.01, rest.detach() + 1.01  # |R_ii tanh| < 1
            entry = invert_increasing(along, rest, *bounds)
            terms.append(along(entry)[1])
            before.append(entry)
            bends.append(torch.tanh(inner * entry + shift))
        x = reflect(torch.stack(before[::-1], -1), self.u_unnormed)
        return x, torch.stack(terms, -1).sum(-1)


def sylvester(input_dim: int, count_transforms: int | None = None) -> Sylvester:
    """Return a Sylvester.

    Args:
        input_dim: the number of entries.
        count_transforms: the number of reflections; input_dim // 2 + 1 by default.
    """
    return Sylvester(input_dim, input_dim // 2 + 1 if count_transforms is None else count_transforms)
