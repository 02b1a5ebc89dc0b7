"""Curves: what is kept of a long one, and that what is drawn is to scale."""

import re

import numpy as np

from gen_jax.report import charts


def test_long_curves_keep_their_extremes():
    values = np.random.default_rng(0).normal(size=100_001)
    values[777], values[50_001] = 50, -50
    series = dict(enumerate(values.tolist()))
    kept = charts.extremes(series)
    assert len(kept) <= charts.MAX_POINTS + 2 and list(kept) == sorted(kept) and 100_000 in kept
    assert kept[777] == 50 and kept[50_001] == -50 and kept.items() <= series.items()


def test_long_curves_are_smoothed_by_the_mean_of_neighbours():
    # stretches of 7 points: the noise leaves 1/7
    line = {10 * i: 3.0 * i + (-1) ** i for i in range(1000)}
    smooth = charts.smooth(line)
    assert len(smooth) == 143
    np.testing.assert_allclose(
        [y - 0.3 * x for x, y in list(smooth.items())[:-1]], [1 / 7, -1 / 7] * 71, atol=1e-9
    )
    assert charts.smooth({1: 2.0, 5: 3.0}) == charts.extremes({1: 2.0, 5: 3.0}) == {1: 2.0, 5: 3.0}


def test_the_mean_is_over_common_steps():
    assert charts.average([{1: 1.0, 2: 2.0, 3: 9.0}, {2: 4.0, 3: 1.0}]) == {2: 3.0, 3: 5.0}


def test_a_chart_is_to_scale():
    svg = charts.draw("test/x", [[{0: 1.0, 50: 1.25, 100: 3.0}]], level=2.0)
    (path,) = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--hue0\)', svg)
    x, y = np.array(re.findall(r"[ML] (\S+) (\S+)", path), float).T
    np.testing.assert_allclose(np.diff(x) / (x[2] - x[0]), 0.5, atol=1e-5)
    np.testing.assert_allclose((y - y[0]) / (y[2] - y[0]), [0, 0.125, 1], atol=1e-5)
    (level,) = re.findall(r'<path d="M \S+ (\S+) L[^"]*"[^>]*stroke: var\(--paper\)', svg)
    np.testing.assert_allclose(float(level), y[[0, 2]].mean(), atol=1e-4)
    assert not re.search(r"#0[0-9a-f]{5}|<style|<\?xml|DOCTYPE", svg)


def test_wide_spans_are_logarithmic():
    assert charts.is_logarithmic([1.0, 101.0]) and not charts.is_logarithmic([1.0, 99.0])
    assert not charts.is_logarithmic([0.0, 1000.0]) and not charts.is_logarithmic([-1.0, 1000.0])
