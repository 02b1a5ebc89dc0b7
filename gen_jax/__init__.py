"""gen_jax: generative models as games of pure functions, in JAX and Flax."""
