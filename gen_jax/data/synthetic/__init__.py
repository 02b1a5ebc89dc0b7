"""Data whose truth is known: densities in closed form, and drawn worlds."""
