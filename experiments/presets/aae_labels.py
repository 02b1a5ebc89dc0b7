"""Smaller budgets of experiments/aae_labels.py."""

from experiments.aae_labels import CLUSTERING, PAPER, REDUCTION, Config
from gen_jax import Run

SHORT = {"steps": 10 * 590, "run": Run()}
TINY = Config(
    data="digits",
    labels=40,
    latents=2,
    hidden=(16, 16),
    weight_std=0.1,
    batch_size=32,
    steps=40,
    validation=100,
    run=Run.tiny(),
)
PRESETS = {
    "quick": ("as paper, 10 epochs; 19 minutes on a busy core", PAPER.but(**SHORT)),
    "clustering_quick": (
        "30 clusters, a third as wide, 10 epochs; 17 minutes on a busy core",
        CLUSTERING.but(hidden=(1000, 1000), **SHORT),
    ),
    "reduction_quick": ("as reduction, 10 epochs; not timed", REDUCTION.but(**SHORT)),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
