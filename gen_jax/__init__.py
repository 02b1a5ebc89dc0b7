"""gen_jax: generative models as games of pure functions, in JAX and Flax."""

import jax

jax.config.update("jax_threefry_partitionable", True)  # which random numbers a key gives, whatever the environment says
