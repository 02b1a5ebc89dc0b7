"""What a GPU that is lent for ten minutes plays, what is worth most per second first.

A run is stopped after its row's `minutes`; what it measured by then counts. Run it with `--jobs 3`:
small networks leave most of a GPU idle, and while one row trains the next one compiles.
"""

import dataclasses

from gen_jax.study import headline
from gen_jax.study.rows import Row

KNOWN = {row.name: row for row in headline.ROWS}


def longer(name: str, *, seeds: int, minutes: float, every: int) -> Row:
    """Return a row of `headline` with more seeds and a limit, that is seldom saved and evaluated."""
    row = KNOWN[name]
    seldom = {f"run.{what}_every": every for what in ("checkpoint", "sample", "evaluate")}
    return dataclasses.replace(row, seeds=seeds, minutes=minutes, changes={**row.changes, **seldom})


ROWS = [
    longer("gan-official", seeds=8, minutes=5, every=100_000),
    longer("infogan-official", seeds=16, minutes=4, every=2500),
    longer("infogan-paper", seeds=4, minutes=3, every=2500),
    longer("aae-paper", seeds=4, minutes=4, every=29_500),
    Row(
        "vae-latents",
        paper="vae",
        preset="paper",
        question="How does the bound depend on the number of latents (figure 2)?",
        measures={"test/elbo": "test ELBO, nats", "test/active_units": "latents in use"},
        sweep={"latents": (3, 5, 10, 20, 200)},
        changes={"run.evaluate_every": 250_000, "evaluation.images": 1000},
        published="paper",
        minutes=3,
    ),
    Row(
        "vae-burda-whole",
        paper="vae",
        preset="iwae",
        question="Does IWAE's VAE, k = 1, reach its number by its whole schedule?",
        measures=headline.NLL,
        claims=("test/nll_k5000",),
        changes={
            "samples": 1,
            "run.log_every": 5000,
            "run.checkpoint_every": 100_000,
            "run.evaluate_every": 364 * 2980,
        },
        published="iwae",
        minutes=6,
    ),
    longer("gan-vs-vae-mnist", seeds=3, minutes=4, every=20_000),
    Row(
        "dcgan-mnist",
        paper="dcgan",
        preset="mnist",
        question="What is the 1-NN error at the published width and budget?",
        measures=KNOWN["dcgan-mnist-half"].measures,
        claims=KNOWN["dcgan-mnist-half"].claims,
        changes={
            "run.log_every": 500,
            "run.checkpoint_every": 19_500,
            "run.sample_every": 19_500,
            "run.evaluate_every": 19_500,
        },
        published="mnist",
        minutes=5,
    ),
    longer("aae-labels-paper", seeds=4, minutes=4, every=59_000),
    Row(
        "aae-clustering",
        paper="aae_labels",
        preset="clustering",
        question="What is the error of 30 clusters?",
        measures={"test/error_30_clusters": "error of 30 clusters, %"},
        claims=("test/error_30_clusters",),
        changes={"run.evaluate_every": 59_000},
        seeds=1,
        published="clustering",
        minutes=4,
    ),
    Row(
        "stargan-emoji",
        paper="stargan",
        preset="paper",
        question="Do four vendors' emoji take on each other's style at 64x64?",
        measures=KNOWN["stargan-long"].measures,
        changes={"side": 64, "run.evaluate_every": 10_000, "run.precision": "bfloat16"},
        seeds=1,
        minutes=8,
    ),
    Row(
        "progan-emoji",
        paper="progan",
        picture="progress",
        preset="paper",
        question="How near do emoji at 64x64 come to real ones?",
        measures=KNOWN["progan-cifar"].measures,
        changes={"run.evaluate_every": 20_000, "n_feature_images": 0, "run.precision": "bfloat16"},
        seeds=1,
        minutes=8,
    ),
    Row(
        "cyclegan-emoji",
        paper="cyclegan",
        picture="samples_of_googles",
        lower=True,
        preset="emoji",
        question="Do Google's emoji become Twitter's, and the reverse?",
        measures={
            f"test/l1_{name}{suffix}": f"{name}: mean difference from the true one, of 255{told}"
            for name in ("google", "twitter")
            for suffix, told in (("", ""), ("_untranslated", ", identity baseline"))
        },
        changes={"run.evaluate_every": 10_000, "feature_images": 0, "run.precision": "bfloat16"},
        seeds=1,
        minutes=8,
    ),
    Row(
        "cyclegan-earth",
        paper="cyclegan",
        picture="samples_of_photos",
        lower=True,
        preset="paper",
        question="Do maps of the earth become photographs at 128x128, and the reverse?",
        measures=KNOWN["cyclegan-long"].measures,
        changes={"run.evaluate_every": 10_000, "feature_images": 0, "run.precision": "bfloat16"},
        seeds=1,
        minutes=8,
    ),
    Row(
        "text2image-emoji",
        paper="text2image",
        preset="paper",
        question="Do emoji show what their names say?",
        measures={"test/r_precision": "own caption ranked first, %"},
        changes={"run.evaluate_every": 10_000, "run.precision": "bfloat16"},
        seeds=1,
        minutes=8,
    ),
]
