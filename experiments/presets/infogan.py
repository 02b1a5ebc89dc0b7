"""Smaller budgets of experiments/infogan.py."""

from experiments.infogan import OFFICIAL, Config
from gen_jax import Run

QUICK = OFFICIAL.but(width=16)
TINY = Config(data="digits", width=8, batch_size=32, steps=40, run=Run.tiny())
ALL = "the official code, all of its 5000 updates, a quarter as wide; 7 minutes on one core"
PRESETS = {"quick": (ALL, QUICK), "tiny": ("8x8 digits; seconds, for tests", TINY)}
