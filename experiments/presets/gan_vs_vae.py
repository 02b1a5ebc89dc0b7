"""Smaller budgets of experiments/gan_vs_vae.py."""

from experiments.gan_vs_vae import MIXTURE, MNIST, Config, Evaluation
from gen_jax import Run

SHORT = MNIST.but(steps=20_000, evaluation=Evaluation(images=20, chains=4, steps=250))
TINY = Config(
    hidden=(16,),
    batch_size=32,
    steps=40,
    evaluation=Evaluation(draws=200, samples=10),
    run=Run.tiny(),
)
PRESETS = {
    "mnist_quick": ("33 epochs of MNIST, and shorter chains; half an hour on a busy core", SHORT),
    "quick": (
        "a ring of 8 Gaussians, 6000 steps; 90 seconds on one core",
        MIXTURE.but(steps=6000),
    ),
    "tiny": ("40 steps; seconds, for tests", TINY),
}
