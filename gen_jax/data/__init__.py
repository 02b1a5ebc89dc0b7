"""Data: every set by name, its batches as a pure function of (seed, step), and worlds whose truth
is known.
"""
