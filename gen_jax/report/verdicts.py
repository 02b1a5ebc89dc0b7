"""Means with their 95 % intervals, as text, and verdicts about claims."""

import math
from collections.abc import Sequence

from gen_jax import statistics
from gen_jax.types import Claim

MIN_SEEDS = 3  # for a verdict
TOLERANCE = 0.05  # relative to the value of a claim, if the paper has no spread


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return (mean, low, high) of the 95 % interval, by Student's t, of at least two values."""
    mean, half = statistics.interval(values)
    return mean, mean - half, mean + half


def mean_of(values: Sequence[float]) -> str:
    """Return the mean of at least two values with the half width of its interval: "14 ± 11"."""
    mean, low, high = interval(values)
    half = (high - low) / 2
    half = half if half > 1e-9 * abs(mean) else 0.0  # else it is of rounding
    form = form_of(mean, half)
    return f"{number(mean, form)} ± {number(half, form)}"


def tolerated(claim: Claim) -> tuple[float, float]:
    """Return (low, high): the value of the paper -+ the tolerance of the claim, else its spread,
    else 5 %.
    """
    given = (claim.tolerance, claim.spread, TOLERANCE * claim.value)
    tolerance = abs(next(width for width in given if width is not None))
    return claim.value - tolerance, claim.value + tolerance


def verdict(claim: Claim, values: Sequence[float]) -> str:
    """Compare our 95 % interval with the tolerance of the claim: inside, better, or worse.

    No value agrees with a claim without tolerance, such as a 0 without a spread. Fewer than three
    seeds have no verdict.
    """
    if not values:
        return "not measured"
    if len(values) < MIN_SEEDS:
        return "fewer than three seeds: no verdict"
    _, low, high = interval(values)
    least, most = tolerated(claim)
    if least <= low and high <= most and least < most:
        return "agrees"
    if least <= high and low <= most:
        return "not distinguishable"
    return "better" if (high < least) == (claim.better == "lower") else "worse"


def number(value: float, form: str = ".5g") -> str:
    """Format a number, with a real minus sign."""
    return format(value, form).replace("-", "\N{MINUS SIGN}")


def form_of(mean: float, half: float) -> str:
    """Return the format of a mean and its uncertainty, with two digits of the latter."""
    decimals = max(0, 1 - math.floor(math.log10(half))) if half else 9
    return f",.{decimals}f" if decimals <= 6 and abs(mean) < 1e9 else ".4g"
