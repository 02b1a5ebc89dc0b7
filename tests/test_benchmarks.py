"""What the benchmarks count, against counts by hand."""

import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import profile, speed
from gen_jax.networks.conv import conv, conv_transpose
from gen_jax.run import flops

X, K = jnp.ones((2, 8, 8, 3)), jnp.ones((4, 4, 3, 5))


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (lambda a, b: a @ b, (jnp.ones((7, 11)), jnp.ones((11, 13))), 2 * 7 * 11 * 13),
        (
            lambda a, b: jnp.einsum("bij,bjk->bik", a, b),
            (jnp.ones((2, 3, 5)), jnp.ones((2, 5, 7))),
            2 * 2 * 3 * 5 * 7,
        ),
        (
            lambda x, k: conv(x, k, strides=(2, 2), padding=((1, 1), (1, 1))),
            (X, K),
            2 * 2 * 4 * 4 * 5 * 4 * 4 * 3,
        ),
        (
            lambda x, k: conv_transpose(x, k, strides=(2, 2)),
            (X, K),
            2 * 2 * 16 * 16 * 5 * 4 * 4 * 3 / 4,
        ),
        (
            lambda a: jax.lax.scan(lambda c, _: (c @ a, None), a, length=9)[0],
            (jnp.ones((4, 4)),),
            9 * 2 * 4**3,
        ),
    ],
)
def test_products_and_convolutions_are_counted(function, arguments, expected):
    assert flops.count(jax.jit(function), *arguments) == expected


def test_a_gradient_costs_twice_what_the_value_does():
    """Of a dense layer: one product more for the weights and one for the input."""
    a, b = jnp.ones((7, 11)), jnp.ones((11, 13))
    forward = flops.count(lambda a, b: a @ b, a, b)
    assert flops.count(jax.grad(lambda a, b: ((a @ b) ** 2).sum(), (0, 1)), a, b) == 3 * forward


def test_what_no_result_needs_is_not_counted():
    """As an identity term of weight 0, which XLA removes, inside a jitted function too."""
    a, b = jnp.ones((7, 11)), jnp.ones((11, 13))
    one = flops.count(lambda a, b: a @ b, a, b)
    assert flops.count(jax.jit(lambda a, b: [a @ b, b.T @ a.T][:1]), a, b) == one


def test_the_page_of_speeds_is_that_of_the_results():
    """Which are of cases that there are."""
    assert speed.PAGE.read_text(encoding="utf-8") == speed.page()
    files = [json.loads(file.read_text()) for file in speed.RESULTS.glob("*.json")]
    assert {row["case"] for file in files for row in file["rows"]} <= {*speed.CASES}


def test_what_is_saved_adds_to_the_rows_of_the_same_machine_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    monkeypatch.setattr(speed, "PAGE", tmp_path / "speed.md")
    known = {"batch": 1, "flops": 1.0, "compile_s": 1.0, "memory_mb": 1.0, "precision": "float32"}

    def saved(cases, python="3.11", seconds=1.0):
        machine = {
            "device": "one",
            "cpus": 2,
            "python": python,
            "jax": "0",
            "date": "",
            "ceilings": {"float32": 1.0},
        }
        rows = [{**known, "case": case, "ours_step_s": seconds} for case in cases]
        speed.save("here", {"machine": machine, "rows": rows})
        result = json.loads((tmp_path / "here.json").read_text())
        return [(row["case"], row["ours_step_s"]) for row in result["rows"]]

    assert saved(["vae", "progan-32"]) == [("vae", 1), ("progan-32", 1)]
    assert saved(["dcgan-64", "vae"], seconds=2.0) == [
        ("vae", 2),
        ("dcgan-64", 2),
        ("progan-32", 1),
    ]
    assert saved(["vae"], python="3.12") == [("vae", 1)]


def test_a_profile_says_what_each_operation_is_and_where_it_comes_from(tmp_path):
    a = jnp.ones((512, 512))
    compiled = jax.jit(
        lambda a: jnp.sort(jax.lax.conv(a[None, None], a[None, None, :3, :3], (1, 1), "SAME"))
    ).lower(a)
    compiled = compiled.compile()
    with jax.profiler.trace(str(tmp_path)):
        jax.block_until_ready(compiled(a))
    found = profile.events(tmp_path)
    text = profile.table(list(found), profile.operations(compiled.as_text()), 1, 1e-3, 10)
    assert text.startswith("1.000 ms a step")
    assert "/sort" in text and "convolutions and products" in text
