"""What a transition kernel offers: users write their own, in Python, and MCMC runs it in a plain loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from pyroxene._typing import TensorDict

__all__ = ["MCMCKernel"]


class MCMCKernel(ABC):
    """Moves from one point of a model's latent space to the next; abstract.

    Implementing a kernel:

    - `setup` looks at the model's arguments and prepares; it runs once a chain, before anything else;
    - `initial_params` is where the chain begins, after `setup`; MCMC sets it where the user gave a point, so a kernel
      that computes it needs a setter;
    - `sample` makes one transition, of warm-up for the first `warmup_steps` calls;
    - `end_warmup` runs between warm-up and draws, `cleanup` after the last;
    - a `transforms` attribute, {site: transform from its support to unconstrained space}, says how MCMC is to map what
      `sample` returns back to the supports.

    Example:
        >>> import torch
        >>> from pyroxene.infer import MCMC
        >>> class Walk(MCMCKernel):
        ...     initial_params = {"x": torch.tensor(0.0)}
        ...     def sample(self, params):
        ...         return {"x": params["x"] + torch.randn(())}
        >>> mcmc = MCMC(Walk(), num_samples=3, warmup_steps=1, disable_progbar=True)
        >>> mcmc.run()
        >>> mcmc.get_samples()["x"].shape
        torch.Size([3])
    """

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:  # noqa: B027  # a kernel may need none
        """Prepare for a chain.

        Args:
            warmup_steps: how many calls of `sample` belong to warm-up.
            args: the model's arguments.
            kwargs: the model's keyword arguments.
        """

    def cleanup(self) -> None:  # noqa: B027  # a kernel may need none
        """Let go of what only a run needs."""

    def logging(self) -> dict[str, Any]:
        """Return what the progress line shows, by label; numbers or strings."""
        return {}

    def diagnostics(self) -> dict[str, Any]:
        """Return what is known of a chain's course, by label, such as "divergences" and "acceptance rate"."""
        return {}

    def end_warmup(self) -> None:  # noqa: B027  # a kernel may need none
        """Run once between warm-up and draws."""

    @property
    def initial_params(self) -> TensorDict | None:
        """Where a chain begins: values by site name, in the space that `sample` works in."""
        raise AttributeError(f"{type(self).__name__} has no initial_params")

    @abstractmethod
    def sample(self, params: TensorDict) -> TensorDict:
        """Return the next point.

        Args:
            params: the present point.
        """

    def __call__(self, params: TensorDict) -> TensorDict:
        """Return the next point; the same as `sample`."""
        return self.sample(params)
