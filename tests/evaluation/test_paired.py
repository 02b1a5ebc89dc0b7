"""Measures of translations: through pretrained networks that closed forms stand for; their names and units; pages."""

import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evaluation import paired
from gen_jax.pretrained import resnet

DRAWS = np.random.default_rng(0)
TRUE = {name: DRAWS.uniform(-0.5, 0.5, (6, 12, 12, 3)).astype(np.float32) for name in ("a", "b")}
MADE = {"a": TRUE["a"] + 0.1, "b": TRUE["b"], "cycle_a": TRUE["a"], "cycle_b": TRUE["b"] - 0.2}


@pytest.fixture
def stand_ins(monkeypatch):
    """LPIPS is the mean difference, and features are ten times the mean colour; what is seen is noted."""
    seen = []

    def features(images):
        seen.append(len(images))
        return 10 * images.mean((1, 2))

    monkeypatch.setattr(resnet, "features", features)
    monkeypatch.setattr(paired, "lpips", lambda a, b: np.abs(a - b).mean((1, 2, 3)))
    return seen


def test_sets_are_compared_through_networks_and_partners_by_lpips(stand_ins):
    found = paired.judged(TRUE, MADE, perceived=100)
    assert found["places"] == found["perceived"] == 6 and sum(stand_ins) == 4 * 6
    assert found["lpips_alex_a"] == pytest.approx(0.1, rel=1e-4) and found["lpips_alex_b"] == 0
    # three features moved by 10 * 0.1 each, with the same covariance
    assert found["frechet_resnet50_a"] == pytest.approx(3, rel=1e-4)
    assert found["frechet_resnet50_b"] == pytest.approx(0, abs=1e-9)
    unpaired = np.abs(TRUE["a"] - TRUE["b"]).mean()
    for name in ("a", "b"):
        assert found[f"lpips_alex_{name}_untranslated"] == pytest.approx(unpaired, rel=1e-5)
    f, g = (10 * TRUE[name].mean((1, 2)).astype(np.float64) for name in ("a", "b"))
    assert found["kid_resnet50_a_untranslated"] == pytest.approx(by_hand(g, f), rel=1e-4)
    assert found["kid_resnet50_b_untranslated"] == pytest.approx(by_hand(f, g), rel=1e-4)
    assert found["cycle_a"] == 0 and found["cycle_b"] == pytest.approx(25.5, rel=1e-4)


def test_without_pairs_nothing_is_held_against_a_partner(stand_ins):
    whole = paired.judged(TRUE, MADE, perceived=100)
    found = paired.judged(TRUE, MADE, perceived=100, paired=False)
    left = {name for name in whole if name.startswith(("l1", "ssim", "top", "lpips"))}
    assert len(left) == 2 * 2 * 5 and found == {
        name: whole[name] for name in whole if name not in left
    }


def by_hand(a, b):
    """1000 times the unbiased estimate, pair by pair."""

    def mean(p, q, same):
        values = [
            (x @ y / 3 + 1) ** 3
            for i, x in enumerate(p)
            for j, y in enumerate(q)
            if not (same and i == j)
        ]
        return np.mean(values)

    return 1000 * (mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False))


def test_as_many_are_perceived_as_asked_for_from_first_to_last(stand_ins):
    found = paired.judged(TRUE, MADE, perceived=3)
    assert found["perceived"] == 3 and found["places"] == 6 and stand_ins == [3] * 4
    some = [0, 2, 5]
    expected = np.abs(TRUE["a"][some] - TRUE["b"][some]).mean()
    assert found["lpips_alex_a_untranslated"] == pytest.approx(expected, rel=1e-5)
    whole = paired.judged(TRUE, MADE, perceived=0)
    assert stand_ins == [3] * 4 and not any(
        kind in name for name in whole for kind in paired.PERCEIVED
    )
    assert whole["l1_a"] == pytest.approx(12.75, rel=1e-4)  # of all


def test_each_number_has_a_unit_that_names_its_network(stand_ins):
    units = paired.units("a", "b")
    found = {f"test/{name}" for name in (*paired.judged(TRUE, MADE, perceived=3), *paired.PAIRING)}
    assert found == {*units}
    assert all("ResNet-50" in unit for name, unit in units.items() if "resnet50" in name)
    assert all("AlexNet" in unit for name, unit in units.items() if "lpips" in name)
    assert (
        "a made from the b" in units["test/l1_a"]
        and "b as it is" in units["test/kid_resnet50_a_untranslated"]
    )


def test_without_pairs_each_number_has_a_unit_too(stand_ins):
    found = {f"test/{name}" for name in paired.judged(TRUE, MADE, perceived=3, paired=False)}
    assert found | {f"test/{name}" for name in paired.PAIRING} == {
        *paired.units("a", "b", paired=False)
    }


def test_lpips_needs_a_side():
    paired.check_side(31, 1)
    paired.check_side(30, 0)
    with pytest.raises(
        UserError, match=r"side is 30; LPIPS needs 31 pixels: give as many, or --perceived 0"
    ):
        paired.check_side(30, 1)
