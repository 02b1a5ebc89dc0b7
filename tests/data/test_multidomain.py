"""Domains: where labels lead, what two sets share, how faces are asked for."""

import numpy as np

from gen_jax.data import multidomain
from gen_jax.data.multidomain import LabelledImages


def test_where_a_label_leads():
    every = multidomain.joint(3, 2)
    np.testing.assert_array_equal(every.target_labels[:, :5], np.eye(5))
    np.testing.assert_array_equal(every.target_labels[:, 5:], [[1, 0]] * 3 + [[0, 1]] * 2)
    red, white = every.target_labels[0], every.target_labels[4]
    # domains are ink by ink
    np.testing.assert_array_equal(every.destination(red)[0], [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(every.destination(white)[0], [1, 1, 3, 3, 5, 5])
    np.testing.assert_array_equal(
        every.destination(white)[1], [every.target_labels[3], every.target_labels[4]] * 3
    )
    np.testing.assert_array_equal(
        multidomain.multi_label(2).labels[0], [[0, 0], [0, 1], [1, 0], [1, 1]]
    )
    np.testing.assert_array_equal(
        multidomain.multi_label(2).destination(np.array([1, 0]))[0], [2] * 4
    )
    x = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1) * np.ones(3, np.uint8)  # two examples
    tasks = [*every.tasks(LabelledImages(x, np.arange(12) % 6, None))]
    assert len(tasks) == 2 * 3 * 2 + 3 * 2  # inks on two papers, papers of three inks
    for task in tasks:
        before, after = task.x[:, 0, 0, 0] % 6, task.truth[:, 0, 0, 0] % 6
        np.testing.assert_array_equal(task.target_domain, after)
        assert (task.x[:, 0, 0, 0] // 6 == [0, 1]).all() and (
            task.truth[:, 0, 0, 0] // 6 == [0, 1]
        ).all()
        own = int(task.target_label[0, 6])  # the set that is asked
        assert ((before % 2 == after % 2) if own == 0 else (before // 2 == after // 2)).all() and (
            before != after
        ).all()
        np.testing.assert_array_equal(task.target_label, every.labels[own][after])
        np.testing.assert_array_equal(task.source_label, every.labels[own][before])


def test_two_sets_have_no_common_example():
    halves = multidomain.halves({"image": np.arange(14).reshape(7, 2), "label": np.arange(7)})
    np.testing.assert_array_equal(halves["label"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(halves["image"][:, 1], [[6, 7], [8, 9], [10, 11]])


def test_an_ink_on_its_paper():
    """Black leaves the paper as it is, white gives the ink, and half of the way lies between."""
    image = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
    red_on_white = multidomain.colourize(image, multidomain.INKS[:1], multidomain.PAPERS[1:])
    np.testing.assert_allclose(
        red_on_white[0, 0, 0], [[255, 255, 255], [255, 204, 204], [255, 0, 0]], rtol=1e-6
    )
    blue_on_black = multidomain.colourize(image, multidomain.INKS[2:], multidomain.PAPERS[:1])
    np.testing.assert_allclose(blue_on_black[0, 0, 0], [[0, 0, 0], [0, 0, 51], [0, 0, 255]])


def test_colours_of_hair_exclude_each_other_where_a_face_is_changed():
    labels = multidomain.multi_label(5).labels[0]
    domain = np.array([int("01011", 2), int("00000", 2)])  # a blond young man, and none of it
    test = LabelledImages(np.zeros((2, 4, 4, 3), np.uint8), domain, None)
    found = [*multidomain.SETS["celeb_a"]["several"].tasks(test)]
    blond_young_man = [
        [1, 0, 0, 1, 1],
        [0, 1, 0, 1, 1],
        [0, 0, 1, 1, 1],
        [0, 1, 0, 0, 1],
        [0, 1, 0, 1, 0],
    ]
    np.testing.assert_array_equal([task.target_label[0] for task in found], blond_young_man)
    np.testing.assert_array_equal([task.target_label[1] for task in found], np.eye(5))
    for task in found:
        np.testing.assert_array_equal(labels[task.target_domain], task.target_label)
        np.testing.assert_array_equal(task.source_label, labels[domain])
        assert task.truth is None
