"""Synthetic data with known ground truth: densities in closed form, and drawn worlds."""
