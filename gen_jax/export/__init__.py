"""Take a trained model away: its weights as one safetensors file, and what it can do as StableHLO."""

from gen_jax.export.files import save

__all__ = ["save"]
