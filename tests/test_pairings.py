"""The benchmark of pairings: seeds in one program are as if alone; its intervals are closed forms."""

import pytest

from benchmarks import pairings
from experiments import cyclegan
from gen_jax.run.experiment import presets


@pytest.mark.long
def test_seeds_side_by_side_are_as_if_alone():
    config = presets(cyclegan)["tiny"][1].but(masses=(1, 2), steps=30)
    (alone,), (_, together) = pairings.play(config, [5]), pairings.play(config, [4, 5])
    assert alone == pytest.approx(together, rel=1e-3) and alone["chance"] == 1
    (start,) = pairings.play(config.but(steps=1), [5])
    assert abs(start["distance"] - alone["distance"]) > 1e-3  # it is trained


def test_the_line_counts_the_true_among_those_that_fit():
    true, other = (
        {"fits": 1.0, "true_pairing": 1.0, "chance": 0.25},
        {"fits": 1.0, "true_pairing": 0.0, "chance": 0.25},
    )
    loose = {"fits": 0.0, "true_pairing": 0.0, "chance": 0.25}
    said = pairings.line((1, 1, 2, 2), [true] + 3 * [other] + 6 * [loose])
    assert (
        "masses 1 1 2 2: 4 of 10 seeds fit; of those 1 are the true pairing, 0.250 [0.006, " in said
    )
    assert "predicted 0.250, p = 1.00" in said
    none = pairings.line((1, 1, 2, 2), 8 * [other])
    assert f"0.000 [0.000, {1 - 0.025 ** (1 / 8):.3f}]" in none
    assert "1.000 [0.025, 1.000]; predicted 0.250, p = 0.25" in pairings.line((1, 1, 2, 2), [true])
    assert pairings.line((1, 1, 2, 2), [loose]).endswith("0 of 1 seeds fit; predicted 0.250")
