"""Smaller budgets of experiments/gan.py."""

from experiments.gan import OFFICIAL, Config
from gen_jax import Run

QUICK = OFFICIAL.but(steps=10_000)
TINY = Config(
    data="digits",
    latents=8,
    hidden=(32, 32),
    maxout=(16, 16),
    batch_size=32,
    steps=40,
    draws=100,
    validation=100,
    run=Run.tiny(),
)
PRESETS = {
    "quick": ("the official code, 20 epochs; 10 minutes on one core", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
