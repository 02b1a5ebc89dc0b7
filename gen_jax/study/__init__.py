"""Studies: many runs by one command, their results as files, and pages made from these.

python -m gen_jax.study headline --list  # what there is to play, and how long it takes
python -m gen_jax.study headline --minutes 600 --jobs 2
python -m gen_jax.study page  # writes docs/results.md and the pictures of README.md
"""

from gen_jax.study.rows import Row

__all__ = ["Row"]
