"""One file per paper."""

import sys

from gen_jax import console
from gen_jax.run import signals

if sys.argv[:1] == ["-m"]:  # python -m experiments.PAPER, which now imports for seconds
    signals.end_at_once()
    try:
        import jax  # noqa: F401
    except ValueError as error:  # a variable of the environment that JAX cannot read
        console.show(f"experiments: JAX cannot be used ({error}): mend that variable.", error=True)
        sys.exit(2)
