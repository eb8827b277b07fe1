"""Special functions that tests need, as plain numbers."""

from __future__ import annotations

import scipy.special

__all__ = ["chi2sf"]


def chi2sf(x: float, s: float) -> float:
    """Return the probability that a chi-squared variable exceeds a value.

    Args:
        x: the value; where it is not positive the probability is 1.
        s: degrees of freedom, positive.

    Returns:
        The survival function, Q(s/2, x/2) with the regularised upper incomplete gamma function Q.

    Example:
        >>> round(chi2sf(3.841458820694124, 1), 6)
        0.05
    """
    return float(scipy.special.chdtrc(float(s), max(float(x), 0.0)))
