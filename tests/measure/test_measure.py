"""The command and its function: closed forms, identities, the output, and each error's code."""

import json

import numpy as np
import pytest
from PIL import Image

from gen_jax.errors import DataError, NonFiniteError, UserError
from gen_jax.evaluation import feature_distances as distances
from gen_jax.measure import __main__ as command
from gen_jax.measure import compare, reader, sets

draws = np.random.default_rng(0)


def images(n, mean=100.0, spread=30.0, side=16):
    """Four squares, each of an independent colour: twelve features."""
    values = np.clip(draws.normal(mean, spread, (n, 2, 2, 3)), 0, 255)
    return values.round().astype(np.uint8).repeat(side // 2, 1).repeat(side // 2, 2)


def corners(x):
    half = x.shape[1] // 2
    return 127.5 * (x[:, ::half, ::half].reshape(len(x), -1) + 1)


def far(a, b):
    return np.abs(a - b).max((1, 2, 3))


NET = sets.Network("corners", "four corners", corners)


def test_a_set_against_itself():
    x = images(60)
    found = compare(x, x, features=NET)
    assert found["precision_corners"].value == found["recall_corners"].value == 1
    assert found["coverage_corners"].value == 1 and found["coverage_corners"].interval == (1, 1)
    assert found["density_corners"].value > 1  # each image is in its own ball too
    assert found["frechet_corners"].value == pytest.approx(0, abs=1e-6)
    assert found["kid_corners"].value < 0  # unbiased: each image meets its copy, between sets alone
    assert found["ms_ssim_a"].value == found["ms_ssim_b"].value


def test_halves_of_one_distribution_and_of_two_gaussians():
    """d = 12 features, of deviations 30 and 45 and means 100 and 120: 12 (20^2 + 15^2) = 7500; of
    equal ones the bias, v (2 d / n + d (d + 1) / 2 n) with the variance v = 900, to first order.
    """
    x, y, z = images(1500, side=2), images(1500, side=2), images(1500, 120, 45, side=2)
    found = compare(x, z, features=NET)["frechet_corners"]
    low, high = found.interval
    assert low < 7500 < high and found.value == pytest.approx(7500, rel=0.1)
    assert high - low < 2000 and found.count == 1500
    same = compare(x, y, features=NET)
    assert same["frechet_corners"].value == pytest.approx(900 * (24 + 78) / 1500, rel=0.4)
    low, high = same["kid_corners"].interval
    assert low < 0 < high
    assert same["density_corners"].value == pytest.approx(1, abs=0.1)
    n = np.arange(1, 6)
    assert same["coverage_corners"].value == pytest.approx(
        1 - np.prod((1500 - n) / (3000 - n)), abs=0.04
    )


def test_each_number_of_features_is_that_of_its_measure():
    a, b = images(70), images(50, 115)
    got = compare(a, b, features=NET)
    assert {one.count for one in got.values()} == {50}
    used = reader.read(a, b).a
    fake, real = (corners(x / np.float32(127.5) - 1).astype(np.float64) for x in (used, b))
    precision, recall = distances.precision_recall(real, fake)
    density, coverage = distances.density_coverage(real, fake)
    expected = {
        "frechet": distances.distance(distances.moments(fake), distances.moments(real)),
        "kid": 1000 * distances.squared_discrepancy(fake, real),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }
    assert 0 < recall != precision and density != coverage
    for name, value in expected.items():
        measured = got[f"{name}_corners"]
        assert measured.value == pytest.approx(value, rel=1e-9), name
        assert measured.interval[0] <= value <= measured.interval[1], name
        assert "four corners" in measured.unit and measured.size == "16 px, as given"
    assert [*got][6:] == ["swd_16", "swd", "ms_ssim_a", "ms_ssim_b"]


def test_the_sliced_distance_sees_texture_and_not_a_shift_of_brightness():
    """Channels of patches are normalised, so a set shifted by a constant has the distance of equal
    sets; noise in each pixel changes the patches.
    """
    a, b = images(64), images(64)
    equal = compare(a, b, features=NET)["swd"]
    shifted = compare(a, b + np.uint8(20), features=NET)["swd"]
    assert shifted.value == pytest.approx(equal.value, rel=0.01)
    noisy = compare(a, b // 2 + draws.integers(0, 120, b.shape, np.uint8), features=NET)["swd"]
    assert noisy.interval[0] > 2 * equal.value and equal.interval[0] <= equal.value


def test_pairs_have_exact_errors():
    a = images(30)
    found = compare(a, a + np.uint8(7), pairs=True, perceptual=far)
    assert found["l1"].value == pytest.approx(7, rel=1e-12)
    assert found["l1"].interval == pytest.approx((7, 7), rel=1e-12)
    same = compare(a, a, pairs=True, perceptual=far)
    assert same["l1"].value == 0 and same["ssim"].value == pytest.approx(1, abs=1e-9)
    assert same["lpips_alex"].value is None and same["lpips_alex"].unit == (
        "16 pixels are too few for LPIPS: give at least 31."
    )
    large = a.repeat(2, 1).repeat(2, 2)
    found = compare(large, large + np.uint8(51), pairs=True, perceptual=far)
    assert found["lpips_alex"].value == pytest.approx(0.4, rel=1e-5)
    assert compare(a[:1], a[1:2], pairs=True, perceptual=far)["l1"].interval is None


def test_intervals_of_pairs_cover_the_truth_as_often_as_they_say():
    """Each error is a power of two, uniform among eight, the truth its mean."""
    covered = 0
    for seed in range(200):
        values = 2.0 ** np.random.default_rng(seed).integers(0, 8, 60)
        a = np.zeros((60, 4, 4, 1), np.uint8)
        b = a + values.astype(np.uint8)[:, None, None, None]
        low, high = compare(a, b, pairs=True, seed=seed)["l1"].interval
        covered += low <= 255 / 8 <= high
    assert 178 <= covered <= 198  # of 200, 190 expected


def test_too_few_or_too_small_images_have_a_sentence():
    found = compare(images(12), images(12), features=NET)
    assert found["frechet_corners"].value is None and found["frechet_corners"].unit == (
        "12 images are too few for a covariance of 12 features: give at least 13."
    )
    assert found["kid_corners"].value is not None
    small = compare(
        images(13), images(13), features=NET._replace(features=lambda x: x[:, 0, 0]), side=6
    )
    assert small["frechet_corners"].value is not None
    assert small["swd"].unit == "6 pixels are too few for patches of 7 x 7: give at least 7."
    assert small["ms_ssim_a"].unit == "6 pixels are too few for MS-SSIM: give at least 16."
    with pytest.raises(DataError, match="5 images of each set are too few: give at least 6"):
        compare(images(5), images(5), features=NET)
    with pytest.raises(NonFiniteError, match="Some features of A by corners"):
        compare(images(9), images(9), features=NET._replace(features=lambda x: corners(x) * np.nan))
    with pytest.raises(UserError, match="no features 'vgg': choose resnet50 or inception"):
        compare(images(9), images(9), features="vgg")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(command.sets, "network", lambda name: NET)
    for name, count in (("a", 20), ("b", 25)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images(count)):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    return str(tmp_path / "a"), str(tmp_path / "b")


def test_the_command_prints_a_line_for_each_measure_and_writes_the_same_numbers(
    folders, tmp_path, capsys
):
    assert command.main([*folders, "--json", str(tmp_path / "new" / "out.json")]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "new" / "out.json").read_text())
    expected = compare(*folders, features=NET)
    assert {*written["measures"]} == {*expected}
    for name, measured in written["measures"].items():
        line = next(line for line in printed.splitlines() if line.startswith(f"{name} "))
        assert measured["value"] == pytest.approx(expected[name].value, rel=1e-9)
        assert (
            f" {measured['value']:.4g} " in line and f" {measured['interval'][0]:.4g} to " in line
        )
        assert " 20 " in line and "16 px, as given" in line
    assert "20 images of B are drawn at random, with seed 0" in written["notes"]
    assert "20 images of B are drawn at random, with seed 0" in printed
    assert "larger for fewer images" in printed and "over the images of both sets" in printed
    assert sets.BIAS in printed and sets.BIAS in written["notes"]
    assert command.main([*folders, "--pairs"]) == 0
    printed = capsys.readouterr().out
    assert "20 pairs, by name; without a partner: 0 of A, 5 of B" in printed
    assert sets.BIAS not in printed


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--side", "0"], 2, "side is 0"),
        (["--pairs", "--features", "resnet50"], 2, "omit --features or --pairs"),
        (["--count", "99"], 2, "only 20 can be compared"),
        (["--split", "train"], 2, "A and B are folders"),
        (["--json", "."], 73, "is a folder"),
        (["--json", "/dev/null/out.json"], 73, "cannot be written"),
    ],
)
def test_bad_arguments_end_with_one_sentence(folders, capsys, arguments, code, sentence):
    assert command.main([*folders, *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("gen_jax.measure: ") and sentence in error and error.count("\n") == 1


def test_bad_folders_end_with_one_sentence(folders, tmp_path, capsys, monkeypatch):
    def ends(b, code, sentence, *more):
        assert command.main([folders[0], str(b), *more]) == code
        assert sentence in (error := capsys.readouterr().err) and error.count("\n") == 1

    ends(tmp_path / "no", 65, "is neither a folder nor a known data set")
    (tmp_path / "torn").mkdir()
    ends(tmp_path / "torn", 65, "holds no pictures")
    (tmp_path / "torn" / "x.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:60])
    ends(tmp_path / "torn", 65, "x.png is no whole picture")
    ends(tmp_path / "torn", 65, "No picture in", "--pairs")
    monkeypatch.setattr(reader.pictures, "size", lambda path: (path / "x").read_bytes())
    ends(folders[1], 74, "cannot be read or written")


@pytest.mark.weights
def test_the_true_network_tells_scenes_from_noise(tmp_path):
    """Smooth fields of colour against another draw of these, and against the same with noise."""
    coarse = draws.integers(0, 256, (48, 4, 4, 3), np.uint8)
    x = np.stack([np.asarray(Image.fromarray(c).resize((48, 48))) for c in coarse])
    noisy = np.clip(x + draws.normal(0, 40, x.shape), 0, 255).astype(np.uint8)
    near, far = compare(x[:24], x[24:]), compare(noisy[:24], x[24:])
    assert near["kid_resnet50"].interval[1] < far["kid_resnet50"].interval[0]
    assert near["precision_resnet50"].value > far["precision_resnet50"].value
    pairs = compare(noisy, x, pairs=True)["lpips_alex"]
    assert pairs.interval[0] > compare(x, x, pairs=True)["lpips_alex"].value == 0
