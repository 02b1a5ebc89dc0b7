"""Smaller budgets of experiments/vae.py."""

from experiments.vae import PAPER, Evaluation, Optimizer
from gen_jax import Run

QUICK = PAPER.but(
    pixels="stochastic",
    weight_std=0,
    weight_prior=False,
    steps=15_000,
    optimizer=Optimizer("adam", learning_rate=1e-3),
    evaluation=Evaluation(samples=500, images=1000),
    run=Run(),
)
TINY = QUICK.but(
    data="digits",
    latents=2,
    hidden=(16,),
    batch_size=32,
    steps=40,
    evaluation=Evaluation(samples=10, images=64),
    run=Run.tiny(),
)
PRESETS = {
    "quick": ("Adam, 25 epochs; 2 minutes on 2 cores", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
