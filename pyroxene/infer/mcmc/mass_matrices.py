"""Mass matrices by site names, fed one draw at a time: blocks, and an arrowhead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pyroxene._typing import TensorDict
from pyroxene.errors import UsageError
from pyroxene.ops.arrowhead import SymmArrowhead, TriuArrowhead, sqrt, triu_gram, triu_inverse, triu_matvecmul

__all__ = ["ArrowheadMassMatrix", "BlockMassMatrix"]

Names = tuple[str, ...]
Shapes = Mapping[Names, tuple[int, ...]]


def _flat(values: Mapping[str, torch.Tensor], names: Names) -> torch.Tensor:
    return torch.cat([values[name].detach().reshape(-1) for name in names])


def _unflat(flat: torch.Tensor, prototype: Mapping[str, torch.Tensor], names: Names) -> TensorDict:
    parts = flat.split([prototype[name].numel() for name in names])
    return {name: part.reshape(prototype[name].shape) for name, part in zip(names, parts)}


class _Window:
    """Moments of the draws since the last estimate, regularised as Stan regularises; final."""

    def __init__(self, dense: bool) -> None:
        self.dense = dense
        self.samples: list[torch.Tensor] = []

    def covariance(self) -> torch.Tensor:
        """Return n / (n + 5) times the covariance plus 1e-3 * 5 / (n + 5), shape (size,) or (size, size)."""
        draws = torch.stack(self.samples)
        count = len(draws)
        if count < 2:
            raise UsageError("a mass matrix needs draws", expected="two or more", got=count)
        keep, add = count / (count + 5.0), 1e-3 * 5.0 / (count + 5.0)
        if not self.dense:
            return draws.var(0) * keep + add
        covariance = torch.cov(draws.T).reshape(draws.shape[1], draws.shape[1]) * keep
        covariance.diagonal().add_(add)
        return covariance


class BlockMassMatrix:
    """A mass matrix that is dense or diagonal in each block of sites, with none between blocks; final.

    Args:
        init_scale: the first inverse mass matrix is this multiple of the identity.

    Source: the regularisation is that of the Stan reference manual, section on Euclidean metric.

    Example:
        >>> matrix = BlockMassMatrix()
        >>> matrix.configure({("a", "b"): (3,)})
        >>> matrix.mass_matrix_size, matrix.inverse_mass_matrix[("a", "b")]
        ({('a', 'b'): 3}, tensor([1., 1., 1.]))
    """

    def __init__(self, init_scale: float = 1.0) -> None:
        self._init_scale = init_scale
        self._inverse: dict[Names, torch.Tensor] = {}
        self._roots: dict[Names, torch.Tensor] = {}
        self._windows: dict[Names, _Window] = {}
        self._adapt = True

    @property
    def mass_matrix_size(self) -> dict[Names, int]:
        """How many coordinates each block has."""
        return {names: matrix.shape[0] for names, matrix in self._inverse.items()}

    @property
    def inverse_mass_matrix(self) -> dict[Names, torch.Tensor]:
        """By block: the diagonal, shape (size,), or the matrix, shape (size, size)."""
        return self._inverse

    @inverse_mass_matrix.setter
    def inverse_mass_matrix(self, value: dict[Names, torch.Tensor]) -> None:
        self._inverse = dict(value)
        # M^-1 = L L^T: momenta are L^-T n, of covariance M
        self._roots = {
            names: matrix.sqrt() if matrix.dim() == 1 else torch.linalg.cholesky(matrix)
            for names, matrix in value.items()
        }

    def configure(
        self, mass_matrix_shape: Shapes, adapt_mass_matrix: bool = True, options: Mapping[str, Any] = {}
    ) -> None:
        """Begin with a multiple of the identity.

        Args:
            mass_matrix_shape: (size,) of a diagonal block or (size, size) of a dense one, by tuples of site names.
            adapt_mass_matrix: whether draws will be taken in.
            options: of the matrices: dtype, device.
        """
        self._adapt = adapt_mass_matrix
        scale = self._init_scale
        self.inverse_mass_matrix = {
            names: (torch.ones(shape, **options) if len(shape) == 1 else torch.eye(shape[0], **options)) * scale
            for names, shape in mass_matrix_shape.items()
        }
        self._windows = {names: _Window(len(shape) == 2) for names, shape in mass_matrix_shape.items()}

    def update(self, z: TensorDict, z_grad: TensorDict | None) -> None:
        """Take in a draw.

        Args:
            z: unconstrained values by site.
            z_grad: not used.
        """
        for names, window in self._windows.items():
            window.samples.append(_flat(z, names))

    def end_adaptation(self) -> None:
        """Estimate the matrices from the draws since the last time."""
        if self._adapt:
            self.inverse_mass_matrix = {names: window.covariance() for names, window in self._windows.items()}
            for window in self._windows.values():
                window.samples = []

    def kinetic_grad(self, r: TensorDict) -> TensorDict:
        """Return M^-1 r by site: the velocity.

        Args:
            r: momenta by site.
        """
        velocity: TensorDict = {}
        for names, matrix in self._inverse.items():
            flat = _flat(r, names)
            velocity.update(_unflat(matrix * flat if matrix.dim() == 1 else matrix @ flat, r, names))
        return velocity

    def scale(self, r_unscaled: Mapping[Names, torch.Tensor], r_prototype: TensorDict) -> TensorDict:
        """Return momenta of covariance M by site.

        Args:
            r_unscaled: standard normal draws by block, shape (size,).
            r_prototype: tensors of the shapes wanted, by site.
        """
        scaled: TensorDict = {}
        for names, root in self._roots.items():
            normal = r_unscaled[names]
            if root.dim() == 1:
                flat = normal / root
            else:
                flat = torch.linalg.solve_triangular(root.T, normal.unsqueeze(-1), upper=True).squeeze(-1)
            scaled.update(_unflat(flat, r_prototype, names))
        return scaled

    def unscale(self, r: TensorDict) -> dict[Names, torch.Tensor]:
        """Return by block what `scale` made momenta of; half its square is the kinetic energy.

        Args:
            r: momenta by site.
        """
        return {
            names: _flat(r, names) * root if root.dim() == 1 else root.T @ _flat(r, names)
            for names, root in self._roots.items()
        }


class ArrowheadMassMatrix:
    """A mass matrix with a dense head and a diagonal for the rest, from the gradients at the draws; final.

    `kernel.mass_matrix_adapter = ArrowheadMassMatrix()` with `full_mass=[head_sites]` makes NUTS and HMC use one.

    Args:
        init_scale: the first mass matrix is the identity divided by it.

    Example:
        >>> matrix = ArrowheadMassMatrix()
        >>> matrix.configure({("a",): (1, 1), ("b",): (2,)})
        >>> matrix.mass_matrix_size
        {('a', 'b'): 3}
    """

    def __init__(self, init_scale: float = 1.0) -> None:
        self._init_scale = init_scale
        self._mass: dict[Names, SymmArrowhead] = {}
        self._roots: dict[Names, TriuArrowhead] = {}
        self._inverse_roots: dict[Names, TriuArrowhead] = {}
        self._inverse: dict[Names, torch.Tensor] | None = None
        self._windows: dict[Names, _Window] = {}
        self._adapt = True

    @property
    def mass_matrix_size(self) -> dict[Names, int]:
        """How many coordinates the matrix has, under the names of its sites, the head's first."""
        return {names: matrix.top.shape[1] for names, matrix in self._mass.items()}

    @property
    def mass_matrix(self) -> dict[Names, SymmArrowhead]:
        """The arrowhead, under the names of its sites."""
        return self._mass

    @mass_matrix.setter
    def mass_matrix(self, value: dict[Names, SymmArrowhead]) -> None:
        self._mass = dict(value)
        self._roots = {names: sqrt(matrix) for names, matrix in value.items()}
        self._inverse_roots = {names: triu_inverse(root) for names, root in self._roots.items()}
        self._inverse = None

    @property
    def inverse_mass_matrix(self) -> dict[Names, torch.Tensor]:
        """Its inverse, dense, shape (size, size)."""
        if self._inverse is None:
            self._inverse = {names: triu_gram(root) for names, root in self._inverse_roots.items()}
        return self._inverse

    @inverse_mass_matrix.setter
    def inverse_mass_matrix(self, value: dict[Names, torch.Tensor]) -> None:
        self._inverse = dict(value)

    def configure(
        self, mass_matrix_shape: Shapes, adapt_mass_matrix: bool = True, options: Mapping[str, Any] = {}
    ) -> None:
        """Begin with a multiple of the identity.

        Args:
            mass_matrix_shape: (size, size) of sites that belong to the head, (size,) of the rest, by site names.
            adapt_mass_matrix: whether draws will be taken in.
            options: of the matrix: dtype, device.
        """
        self._adapt = adapt_mass_matrix
        heads = [(names, shape) for names, shape in mass_matrix_shape.items() if len(shape) == 2]
        tails = [(names, shape) for names, shape in mass_matrix_shape.items() if len(shape) == 1]
        head = sum(shape[0] for _, shape in heads)
        size = head + sum(shape[0] for _, shape in tails)
        names = tuple(name for group, _ in [*heads, *tails] for name in group)
        top = torch.eye(head, size, **options) / self._init_scale
        self.mass_matrix = {names: SymmArrowhead(top, torch.ones(size - head, **options) / self._init_scale)}
        self._windows = {names: _Window(dense=True)}

    def update(self, z: TensorDict, z_grad: TensorDict | None) -> None:
        """Take in the gradient at a draw.

        Args:
            z: unconstrained values by site.
            z_grad: gradients by site.
        """
        assert z_grad is not None, "an arrowhead mass matrix is estimated from gradients"
        for names, window in self._windows.items():
            window.samples.append(_flat(z_grad, names))

    def end_adaptation(self) -> None:
        """Estimate the matrix from the gradients since the last time: their covariance is the mass matrix."""
        if not self._adapt:
            return
        estimates = {}
        for names, window in self._windows.items():
            head = self._mass[names].top.shape[0]
            covariance = window.covariance()
            estimates[names] = SymmArrowhead(covariance[:head], covariance.diagonal()[head:])
            window.samples = []
        self.mass_matrix = estimates

    def kinetic_grad(self, r: TensorDict) -> TensorDict:
        """Return M^-1 r by site: the velocity.

        Args:
            r: momenta by site.
        """
        velocity: TensorDict = {}
        for names, root in self._inverse_roots.items():  # M = R R^T: M^-1 r = R^-T (R^-1 r)
            flat = triu_matvecmul(root, triu_matvecmul(root, _flat(r, names)), transpose=True)
            velocity.update(_unflat(flat, r, names))
        return velocity

    def scale(self, r_unscaled: Mapping[Names, torch.Tensor], r_prototype: TensorDict) -> TensorDict:
        """Return momenta of covariance M by site.

        Args:
            r_unscaled: standard normal draws, shape (size,), under the names of the sites.
            r_prototype: tensors of the shapes wanted, by site.
        """
        scaled: TensorDict = {}
        for names, root in self._roots.items():
            scaled.update(_unflat(triu_matvecmul(root, r_unscaled[names]), r_prototype, names))
        return scaled

    def unscale(self, r: TensorDict) -> dict[Names, torch.Tensor]:
        """Return what `scale` made momenta of; half its square is the kinetic energy.

        Args:
            r: momenta by site.
        """
        return {names: triu_matvecmul(root, _flat(r, names)) for names, root in self._inverse_roots.items()}
