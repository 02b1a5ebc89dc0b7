"""Data sets by name, batches as a pure function of (seed, step), and synthetic data with known
ground truth.
"""
