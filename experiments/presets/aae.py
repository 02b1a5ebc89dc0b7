"""Smaller budgets of experiments/aae.py."""

from experiments.aae import PAPER, Config
from gen_jax import Run

TINY = Config(
    data="digits",
    latents=2,
    hidden=(16, 16),
    weight_std=0.1,
    batch_size=32,
    steps=40,
    validation=100,
    draws=100,
    run=Run.tiny(),
)
QUICK = PAPER.but(steps=10 * 590, run=Run())
PRESETS = {
    "quick": ("as paper, 10 epochs; 10 to 14 minutes on a busy core", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
