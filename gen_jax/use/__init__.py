"""Use a trained model: in Python, on the command line and in a web page."""

from gen_jax.use.abilities import Abilities, Choices, Codes, Images
from gen_jax.use.model import Model, load

__all__ = ["Abilities", "Choices", "Codes", "Images", "Model", "load"]
