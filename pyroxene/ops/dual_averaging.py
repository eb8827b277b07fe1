"""Dual averaging: a parameter is steered so that a noisy statistic averages to zero."""

from __future__ import annotations

__all__ = ["DualAveraging"]


class DualAveraging:
    """Minimises a convex function of one number from noisy subgradients; final.

    Args:
        prox_center: where early steps are drawn to.
        t0: how many steps the start is damped by.
        kappa: how fast old steps are forgotten in the average, in (0.5, 1].
        gamma: how strongly steps are drawn to the center.

    Source: Nesterov 2009, "Primal-dual subgradient methods for convex problems"; Hoffman and Gelman 2014, "The
    No-U-Turn sampler", section 3.2, whose constants are the defaults.

    Example:
        >>> steering = DualAveraging()
        >>> for _ in range(200):
        ...     x, average = steering.get_state()
        ...     steering.step(x - 2.0)
        >>> round(steering.get_state()[1], 1)
        2.0
    """

    def __init__(self, prox_center: float = 0, t0: float = 10, kappa: float = 0.75, gamma: float = 0.05) -> None:
        self.prox_center = prox_center
        self.t0 = t0
        self.kappa = kappa
        self.gamma = gamma
        self.reset()

    def reset(self) -> None:
        """Forget all steps, and keep the center."""
        self._x_avg = 0.0
        self._g_avg = 0.0
        self._t = 0
        self._x_t = 0.0

    def step(self, g: float) -> None:
        """Take one noisy subgradient at the present point into account.

        Args:
            g: positive where the point should become smaller.
        """
        self._t += 1
        share = 1.0 / (self._t + self.t0)
        self._g_avg = (1.0 - share) * self._g_avg + share * g
        self._x_t = self.prox_center - self._t**0.5 / self.gamma * self._g_avg
        decay = self._t**-self.kappa
        self._x_avg = (1.0 - decay) * self._x_avg + decay * self._x_t

    def get_state(self) -> tuple[float, float]:
        """Return the present point and the average of the points so far."""
        return self._x_t, self._x_avg
