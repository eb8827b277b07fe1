"""Levy's alpha-stable distributions: Stable, whose samples are reparameterised, and StableWithLogProb, with a density.

Both rest on one representation of a variable X with scale 1 and location 0 in the coordinates S0. Write a for
stability, b for skew, e = 1 - a, zeta = b tan(pi a / 2). For V uniform between -pi / 2 and pi / 2 and W exponential

    X + zeta = D exp(q),  D = (zeta cos aV + sin aV) / cos V,
    q = e / a (log(cos eV + zeta sin eV) - log cos V - log W)

(Chambers, Mallows and Stuck 1976, Weron 1996). At a = 1 zeta is infinite and e is 0. With r = e / tan(pi e / 2), which
is smooth, zeta = b r / e, and D = zeta + Y with

    Y = b r ((cos eV - 1) / e + tan V sin(eV) / e) + tan V cos eV - sin eV,

each term of X = Y exp(q) + b r (q / e) (exp(q) - 1) / q has a limit, so that no stability needs a formula of its own.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.families.smooth_ratios import expm1_ratio, log1p_ratio
from pyroxene.distributions.families.univariate import Number, Univariate, uniform
from pyroxene.distributions.tails.logarithms import log1mexpexp
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.errors import UnsupportedError, UsageError
from pyroxene.ops.half_line import log_unimodal_integral, log_unit_integral

__all__ = ["RADIUS", "Stable", "StableWithLogProb"]

RADIUS = 0.01
"""How near to 1 a stability is for quotients that are 0 / 0 there to be replaced by their series."""

_HALF_PI = 0.5 * math.pi
_NUDGE = 1e-8


class Stable(Univariate):
    r"""Stable distribution: sums of its variables are, up to location and scale, distributed likewise.

    It has no density in closed form but a characteristic function. With a = stability, b = skew, c = scale, d = loc,
    log E e^{i t X} is, in the coordinates "S0",
    i d t - |c t|^a (1 + i b sign(t) tan(pi a / 2) (|c t|^{1 - a} - 1)), and in "S",
    i d t - |c t|^a (1 - i b sign(t) tan(pi a / 2)); at a = 1, its limits, in "S" with
    i d t - |c t| (1 + i b sign(t) (2 / pi) log|t|). In "S0" it is continuous in all its parameters; in "S" its loc is
    the mean for a > 1, and jumps at a = 1.

    Args:
        stability: a, more than 0, at most 2, shape batch_shape: 2 for a normal distribution with variance 2 scale^2,
            1 without skew for a Cauchy distribution, 1/2 with skew 1 for a Lévy distribution.
        skew: b, between -1 and 1, shape batch_shape.
        scale: scale, positive, shape batch_shape.
        loc: location, shape batch_shape.
        coords: "S0" or "S", Nolan's names of the two parametrisations.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        UsageError: coords is neither.

    Support: the real line. The mean is loc in "S" and loc - scale skew tan(pi stability / 2) in "S0" for
    stability > 1, nan otherwise; the variance is infinite but for stability 2, where it is 2 scale^2.

    Source: Chambers, Mallows and Stuck (1976), A method for simulating stable random variables; Nolan (2020),
    Univariate stable distributions.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> Stable(1.5, 0.0).sample((2,)).shape
        torch.Size([2])
        >>> Stable(1.5, 0.5, 2.0, 1.0, coords="S").mean
        tensor(1.)
    """

    stability: torch.Tensor
    skew: torch.Tensor
    scale: torch.Tensor
    loc: torch.Tensor
    arg_constraints = {
        "stability": constraints.interval(0, 2),
        "skew": constraints.interval(-1, 1),
        "scale": constraints.positive,
        "loc": constraints.real,
    }
    support = constraints.real
    coords: str

    def __init__(
        self,
        stability: Number,
        skew: Number,
        scale: Number = 1.0,
        loc: Number = 0.0,
        coords: str = "S0",
        validate_args: bool | None = None,
    ) -> None:
        if coords not in ("S", "S0"):
            raise UsageError(
                "coords names a parametrisation of stable distributions",
                expected='"S" or "S0"',
                got=coords,
                hint='"S0" is continuous in all parameters, "S" has loc as its mean',
            )
        self.coords = coords
        self._set_parameters(validate_args, stability=stability, skew=skew, scale=scale, loc=loc)

    def _shift(self) -> torch.Tensor:
        """What a variable of coords has more than one in "S0", which has scale 1 and location 0 in both."""
        if self.coords == "S0":
            return torch.zeros_like(self.loc)
        is_one = self.stability == 1
        safe = torch.where(is_one, 1.5, self.stability)
        shift = self.scale * self.skew * _tangent(safe)
        return torch.where(is_one, self.scale * self.skew * (2 / math.pi) * self.scale.log(), shift)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample by the method of Chambers, Mallows and Stuck."""
        angle = math.pi * (uniform(self.shape(sample_shape), self.loc) - 0.5)
        log_w = self._exponential(sample_shape).log()
        e, skew_rate = 1 - self.stability, self.skew * _ratio(1 - self.stability)
        cosine = angle.cos().clamp(min=torch.finfo(angle.dtype).tiny)
        q_over_e = (_log_inside(e, skew_rate, angle) - cosine.log() - log_w) / self.stability
        q = e * q_over_e
        standard = _level(e, skew_rate, angle, angle.tan()) * torch.exp(q) + skew_rate * q_over_e * expm1_ratio(q)
        return self.loc + self._shift() + self.scale * standard

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        raise UnsupportedError(
            "Stable has no density in closed form",
            hint="use StableWithLogProb, which integrates, or reparameterise with infer.reparam",
        )

    def _standardised(self, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The value with scale 1 and location 0 in "S0", and stability and skew, broadcast and in double precision."""
        standard = (value - self.loc - self._shift()) / self.scale
        return tuple(each.double() for each in torch.broadcast_tensors(standard, self.stability, self.skew))

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value, integrated numerically."""
        standard, stability, skew = self._standardised(value)
        return _log_survival(-standard, stability, -skew).to(torch.result_type(value, self.loc))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value, integrated numerically."""
        return _log_survival(*self._standardised(value)).to(torch.result_type(value, self.loc))

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape; nan where stability is 1 or less."""
        exists = self.stability > 1
        safe = torch.where(exists, self.stability, 1.5)
        shift = self._shift() - self.scale * self.skew * _tangent(safe)
        return torch.where(exists, self.loc + shift, math.nan)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape; infinite where stability is less than 2."""
        return torch.where(self.stability == 2, 2 * self.scale.square(), math.inf)


class StableWithLogProb(Stable):
    r"""Stable distribution with a log density, by numerical integration; see `Stable` for the parameters.

    The density at x, in the representation of `Stable`, is the integral over V of W e^{-W} |d log W / dx| / pi, where
    W is what makes X equal to x. The integrand rises to one peak and falls; its integral is right to about 1e-9, but
    that within 1e-5 of stability 1 and skew 0 the Cauchy density stands for it, and a value within 1e-8 of
    -tan(pi stability / 2) skew, in standard units, is moved by as much.

    Args:
        stability: more than 0, at most 2, shape batch_shape.
        skew: between -1 and 1, shape batch_shape.
        scale: scale, positive, shape batch_shape.
        loc: location, shape batch_shape.
        coords: "S0" or "S", Nolan's names of the two parametrisations.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line; for skew 1 or -1 and stability less than 1, the half of it beyond
    loc - scale skew tan(pi stability / 2), in "S0". Moments as those of `Stable`.

    Source: Zolotarev (1986), One-dimensional stable distributions, theorem 2.2.3; Nolan (1997), Numerical calculation
    of stable densities and distribution functions.

    Example:
        >>> StableWithLogProb(2.0, 0.0).log_prob(torch.tensor(0.0))
        tensor(-1.2655)
    """

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        log_density = _log_density(*self._standardised(value)) - self.scale.double().log()
        return log_density.to(torch.result_type(value, self.loc))


def _tangent(stability: torch.Tensor) -> torch.Tensor:
    """tan(pi a / 2), exact near 1."""
    return 1 / (_HALF_PI * (1 - stability)).tan()


def _ratio(e: torch.Tensor) -> torch.Tensor:
    """E / tan(pi e / 2), 2 / pi at 0."""
    is_small = e.abs() < RADIUS
    square = (_HALF_PI * torch.where(is_small, e, 0.0)).square()
    series = 1 - square * (1 / 3 + square * (1 / 45 + square * (2 / 945)))
    return torch.where(is_small, series * (2 / math.pi), e / (_HALF_PI * torch.where(is_small, 1.0, e)).tan())


def _sine_over_e(e: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """sin(eV) / e."""
    return angle * torch.sinc(e * angle / math.pi)


def _log_inside(e: torch.Tensor, skew_rate: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """log(cos eV + zeta sin eV), of what is not negative but for rounding."""
    inside = (e * angle).cos() + skew_rate * _sine_over_e(e, angle)
    return inside.clamp(min=torch.finfo(angle.dtype).tiny).log()


def _level(e: torch.Tensor, skew_rate: torch.Tensor, angle: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
    """Y, in the notation of the file."""
    sine = _sine_over_e(e, angle)
    cosine_less_one = -0.5 * e * _sine_over_e(0.5 * e, angle).square()  # over e
    return skew_rate * (cosine_less_one + tangent * sine) + tangent * (e * angle).cos() - e * sine


class _Integrand:
    """log W as a function of V for a value x > -zeta, over the V between -theta and pi / 2 at which D > 0.

    V is given by a real number s, with V + theta = length sigmoid(s) and pi / 2 - V = length sigmoid(-s), so that the
    distances from both ends are exact. A value below -zeta must have been reflected, together with the skew.
    """

    def __init__(self, x: torch.Tensor, stability: torch.Tensor, skew: torch.Tensor) -> None:
        e = 1 - stability
        self.sign = torch.where(e < 0, -1.0, 1.0)  # with which log W grows with V
        skew_rate = skew * _ratio(e)
        theta = torch.atan2(skew_rate * self.sign, e.abs()) / stability
        self.length = (theta + _HALF_PI).clamp(min=1e-300)
        self.rest = (_HALF_PI - theta).clamp(min=0.0)
        gap = (e * x + skew_rate) * self.sign  # |e| (x + zeta)
        self.log_gap = gap.clamp(min=1e-300).log()
        self.x, self.e, self.stability, self.skew_rate, self.theta = (
            each.unsqueeze(-1) for each in (x, e, stability, skew_rate, theta)
        )

    def step(self) -> torch.Tensor:
        """The s at which W is 1, by bisection; an end where it is 1 nowhere. Shape (..., 1), without gradient."""
        with torch.no_grad():
            low = torch.full_like(self.x, -70.0)
            high = -low
            for _ in range(60):
                middle = 0.5 * (low + high)
                above = (self.log_w(middle) > 0) ^ (self.sign.unsqueeze(-1) < 0)
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            return 0.5 * (low + high)

    def log_measure(self, s: torch.Tensor) -> torch.Tensor:
        """Log of dV / ds."""
        return self.length.unsqueeze(-1).log() + logsigmoid(s) + logsigmoid(-s)

    def log_w(self, s: torch.Tensor) -> torch.Tensor:
        """Log W, kept between -600 and 600 so that it rises or falls without overflow."""
        length = self.length.unsqueeze(-1)
        left, right = length * s.sigmoid(), length * (-s).sigmoid()  # distances from the ends
        angle = torch.where(left < right, left - self.theta, _HALF_PI - right)
        log_cosine = right.sin().clamp(min=1e-300).log()
        log_w = _log_inside(self.e, self.skew_rate, angle) - log_cosine - self._q_over_e(left, right, angle)
        return log_w.clamp(-600.0, 600.0)

    def _q_over_e(self, left: torch.Tensor, right: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """A q / e = a / e log((x + zeta) / D)."""
        near_one = self.e.abs() < RADIUS
        e = torch.where(near_one, self.e, 0.0)
        level = _level(e, self.skew_rate, angle, right.cos() / right.sin().clamp(min=1e-40))
        e_times_d = self.sign.unsqueeze(-1) * (self.skew_rate + e * level)
        slope = self.sign.unsqueeze(-1) * (self.x - level) / e_times_d.clamp(min=1e-40)
        near = slope * log1p_ratio((e * slope).clamp(min=-1 + 1e-15))
        e = torch.where(near_one, 0.5, self.e)
        log_d = (self.stability * left).sin().clamp(min=1e-300).log() - right.sin().clamp(min=1e-300).log()
        cosine = (self.stability * self.theta).cos().clamp(min=1e-300)  # log_d is that of D times this
        far = (self.log_gap.unsqueeze(-1) - e.abs().log() + cosine.log() - log_d) / e
        return self.stability * torch.where(near_one, near, far)


def _reflected(
    x: torch.Tensor, stability: torch.Tensor, skew: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whether x lies below -zeta; the three with x and skew negated where it does; and whether all is near Cauchy's."""
    e = 1 - stability
    is_cauchy = (e.abs() < 1e-5) & (skew.abs() < 1e-5)
    skew = torch.where(is_cauchy, 0.5, skew)
    rate = skew * _ratio(e)
    # At x = -zeta the integral is 0 / 0, though the density is smooth; so a value is moved away from there.
    at_zeta = (e * x + rate).abs() < _NUDGE * e.abs()
    x = torch.where(at_zeta, x + 2 * _NUDGE, x)
    below = (e * x + rate) * torch.where(e < 0, -1.0, 1.0) < 0
    return below, torch.where(below, -x, x), torch.where(below, -skew, skew), is_cauchy


def _log_density(x: torch.Tensor, stability: torch.Tensor, skew: torch.Tensor) -> torch.Tensor:
    """Log density in "S0" with scale 1 and location 0."""
    _, y, skew, is_cauchy = _reflected(x, stability, skew)
    integrand = _Integrand(y, stability, skew)

    def log_function(s: torch.Tensor) -> torch.Tensor:
        log_w = integrand.log_w(s)
        return log_w - log_w.exp() + integrand.log_measure(s)

    log_integral = log_unimodal_integral(log_function, y)
    found = log_integral + stability.log() - math.log(math.pi) - integrand.log_gap
    found = torch.where(integrand.length < 1e-14, -math.inf, found)  # beyond the end of a one-sided distribution
    return torch.where(is_cauchy, -math.log(math.pi) - torch.log1p(x.square()), found)


def _log_survival(x: torch.Tensor, stability: torch.Tensor, skew: torch.Tensor) -> torch.Tensor:
    """Log survival function in "S0" with scale 1 and location 0."""
    below, y, skew, is_cauchy = _reflected(x, stability, skew)
    integrand = _Integrand(y, stability, skew)
    # P(X > y) is the mean over V of P(W < w) for stability below 1, of P(W > w) above; below -zeta all is swapped.
    less = below ^ (integrand.sign > 0)

    def log_probability(s: torch.Tensor) -> torch.Tensor:
        log_w = integrand.log_w(s)
        return torch.where(less.unsqueeze(-1), log1mexpexp(log_w), -log_w.exp())

    # The probability of W is flat but for a step where W is 1, which may be steep; so each side of it is one integral.
    step = integrand.step()
    left, right = step.sigmoid(), (-step).sigmoid()
    parts = []
    for own, other, sign in ((left, right, 1.0), (right, left, -1.0)):

        def log_function(t: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
            s = (own.log() + t.log() - (other + own * rest).log()) * sign  # noqa: B023
            return log_probability(s)

        parts.append(log_unit_integral(log_function, y) + own.squeeze(-1).log())
    log_part = torch.logaddexp(*parts) + integrand.length.log()
    rest = torch.where(below, integrand.rest, 0.0)
    rest = torch.where(rest > 0, rest, 1e-300).log()
    empty = torch.where(below, 0.0, -math.inf)
    log_part = torch.where(integrand.length < 1e-14, -math.inf, log_part)
    found = torch.logaddexp(log_part, torch.where(below, rest, -1e300)) - math.log(math.pi)
    found = torch.where(integrand.length < 1e-14, empty, found)
    cauchy = torch.where(x > 1, (1 / x.clamp(min=1.0)).atan(), _HALF_PI - x.atan()).log() - math.log(math.pi)
    return torch.where(is_cauchy, cauchy, found)
