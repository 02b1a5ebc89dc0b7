"""One file per paper."""

import sys

from gen_jax.run import signals

if sys.argv[:1] == ["-m"]:  # python -m experiments.PAPER, whose imports take seconds
    signals.end_at_once()
    from gen_jax import console  # which imports NumPy

    try:
        import jax  # noqa: F401
    except ValueError as error:  # an environment variable that JAX cannot parse
        console.show(
            f"experiments: JAX cannot be used ({error}): correct that variable.", error=True
        )
        sys.exit(2)
