"""Smaller budgets of experiments/autoencoder.py."""

from experiments.autoencoder import Config
from gen_jax import Run

TINY = Config(
    data="digits", latents=2, hidden=(16,), batch_size=32, steps=40, draws=100, run=Run.tiny()
)
PRESETS = {
    "quick": ("15 epochs; 3 minutes on 2 cores", Config(steps=9_000)),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
