"""One file per paper."""

import sys

from gen_jax import interrupts

if sys.argv[:1] == ["-m"]:  # python -m experiments.PAPER, which now imports for seconds
    interrupts.end_at_once()
