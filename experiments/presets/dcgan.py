"""Smaller budgets of experiments/dcgan.py."""

from experiments.dcgan import FEATURES, MNIST
from gen_jax import Run

FEATURES_QUICK = FEATURES.but(width=32, latents=100, steps=780, run=Run(sample_every=390))
QUICK = MNIST.but(width=32, hidden=512, steps=3900, run=Run(sample_every=1300))
TINY = QUICK.but(
    data="digits", order="turns", width=4, hidden=16, latents=8, batch_size=32, steps=40, draws=200,
    run=Run.tiny(),
)  # fmt: skip

PRESETS = {
    "features_quick": (
        "features, a quarter as wide, 2 epochs; more than a second per step on one core",
        FEATURES_QUICK,
    ),
    "quick": ("mnist, half as wide, 10 epochs; 17 to 25 minutes on a busy core", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
