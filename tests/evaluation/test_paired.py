"""Measures of translations: through networks that closed forms stand for; names and units."""

import numpy as np
import pytest

from gen_jax import images
from gen_jax.data import unpaired
from gen_jax.errors import UserError
from gen_jax.evaluation import paired
from gen_jax.pretrained import resnet

DRAWS = np.random.default_rng(0)
TRUE = {name: DRAWS.uniform(-0.5, 0.5, (6, 12, 12, 3)).astype(np.float32) for name in ("a", "b")}
PARTNERS = tuple(f"test/{kind}" for kind in ("l1", "ssim", "top", "lpips"))
MADE = {"a": TRUE["a"] + 0.1, "b": TRUE["b"], "cycle_a": TRUE["a"], "cycle_b": TRUE["b"] - 0.2}


@pytest.fixture
def stand_ins(monkeypatch):
    """LPIPS is the mean difference, and features are ten times the mean colour; what is seen is
    noted.
    """
    seen = []

    def features(images):
        seen.append(len(images))
        return 10 * images.mean((1, 2))

    monkeypatch.setattr(resnet, "features", features)
    monkeypatch.setattr(paired, "lpips", lambda a, b: np.abs(a - b).mean((1, 2, 3)))
    return seen


def test_sets_are_compared_through_networks_and_partners_by_lpips(stand_ins):
    found = paired.compare(TRUE, MADE, feature_images=100)
    assert found["test/places"] == found["test/perceived"] == 6 and sum(stand_ins) == 4 * 6
    assert (
        found["test/lpips_alex_a"] == pytest.approx(0.1, rel=1e-4)
        and found["test/lpips_alex_b"] == 0
    )
    # three features moved by 10 * 0.1 each, with the same covariance
    assert found["test/frechet_resnet50_a"] == pytest.approx(3, rel=1e-4)
    assert found["test/frechet_resnet50_b"] == pytest.approx(0, abs=1e-9)
    unpaired = np.abs(TRUE["a"] - TRUE["b"]).mean()
    for name in ("a", "b"):
        assert found[f"test/lpips_alex_{name}_untranslated"] == pytest.approx(unpaired, rel=1e-5)
    f, g = (10 * TRUE[name].mean((1, 2)).astype(np.float64) for name in ("a", "b"))
    assert found["test/kid_resnet50_a_untranslated"] == pytest.approx(by_hand(g, f), rel=1e-4)
    assert found["test/kid_resnet50_b_untranslated"] == pytest.approx(by_hand(f, g), rel=1e-4)
    assert found["test/cycle_a"] == 0 and found["test/cycle_b"] == pytest.approx(25.5, rel=1e-4)


def test_without_pairs_nothing_is_held_against_a_partner(stand_ins):
    whole = paired.compare(TRUE, MADE, feature_images=100)
    found = paired.compare(TRUE, MADE, feature_images=100, paired=False)
    left = {name for name in whole if name.startswith(PARTNERS)}
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
    found = paired.compare(TRUE, MADE, feature_images=3)
    assert found["test/perceived"] == 3 and found["test/places"] == 6 and stand_ins == [3] * 4
    some = [0, 2, 5]
    expected = np.abs(TRUE["a"][some] - TRUE["b"][some]).mean()
    assert found["test/lpips_alex_a_untranslated"] == pytest.approx(expected, rel=1e-5)
    whole = paired.compare(TRUE, MADE, feature_images=0)
    assert stand_ins == [3] * 4 and not any(
        kind in name for name in whole for kind in ("lpips_alex", resnet.NAME)
    )
    assert whole["test/l1_a"] == pytest.approx(12.75, rel=1e-4)  # of all


NAMES = {
    "test/places",
    "test/perceived",
    "test/cycle_a",
    "test/cycle_b",
    *(
        f"test/{kind}_{name}{end}"
        for kind in ("frechet_resnet50", "kid_resnet50")
        for name in ("a", "b")
        for end in ("", "_untranslated")
    ),
}
OF_PAIRS = {
    f"test/{kind}_{name}{end}"
    for kind in ("l1", "ssim", "top_1", "top_5", "lpips_alex")
    for name in ("a", "b")
    for end in ("", "_untranslated")
}


def test_each_number_has_a_unit_that_names_its_network(stand_ins):
    found = paired.compare(TRUE, MADE, feature_images=3)
    assert {*found} == NAMES | OF_PAIRS
    units = {name: value.unit for name, value in found.items()}
    assert all(units.values())
    assert all("ResNet-50" in unit for name, unit in units.items() if "resnet50" in name)
    assert all("AlexNet" in unit for name, unit in units.items() if "lpips" in name)
    seen = {name for name in units if "resnet50" in name or "lpips" in name}
    assert {name for name, unit in units.items() if "on test/perceived images" in unit} == seen
    assert (
        "a translated from b" in units["test/l1_a"]
        and "untranslated b" in units["test/kid_resnet50_a_untranslated"]
    )


def test_without_pairs_each_number_has_a_unit_too(stand_ins):
    found = paired.compare(TRUE, MADE, feature_images=3, paired=False)
    assert {*found} == NAMES and all(value.unit for value in found.values())


def test_atoms_are_measured_by_their_pairing():
    atoms = unpaired.Points((1, 2), 0).atoms()
    for moved, right in ((atoms.y, 1), (atoms.y[::-1], 0)):
        found = paired.pairing(atoms, moved)
        assert {*found} == {f"test/{n}" for n in ("fits", "true_pairing", "chance", "distance")}
        assert found["test/true_pairing"] == found["test/fits"] == right
        assert found["test/chance"] == 1 and all(value.unit for value in found.values())


def test_the_points_around_each_atom_have_its_colour():
    atoms, seen = unpaired.Points((1, 2), 0).atoms(), []

    def still(x):
        seen.append(x)
        return x

    picture = paired.scatter(atoms, still)
    assert len(seen[0]) == 300 and picture.shape == (400, 400, 3)
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert colours == {(255, 255, 255), *(tuple(c) for c in images.PALETTE[:2].tolist())}


def test_lpips_needs_a_side():
    paired.check_side(31, 1)
    paired.check_side(30, 0)
    with pytest.raises(
        UserError, match=r"side is 30; LPIPS needs 31 pixels: give as many, or --feature-images 0"
    ):
        paired.check_side(30, 1)
