"""Puzzle-GAN: CPU budgets, and a test."""

from experiments.puzzlegan import Config
from gen_jax import Run

QUICK = Config(side=32, width=16, count=10_000, epochs=10, steps=1560, run=Run(sample_every=520))
EMOJI = QUICK.but(data="emoji", count=2979, epochs=30, steps=1380, run=Run(sample_every=230))
TINY = Config(
    side=16, width=4, latents=8, count=100, batch_size=16, epochs=4, steps=40, run=Run.tiny()
)

PRESETS = {
    "quick": ("32x32, a quarter as wide, 10 epochs; 5 minutes of a core", QUICK),
    "emoji_quick": ("emoji, 32x32, a quarter as wide, 30 epochs; for a CPU", EMOJI),
    "tiny": ("16x16; seconds, for tests", TINY),
}
