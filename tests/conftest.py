"""Strict on purpose: eight simulated devices, no silent rank promotion, key reuse caught where it
is cheap.
"""

import gc
import os
from pathlib import Path

# with fewer threads, collectives among simulated devices deadlock
os.environ.setdefault("NPROC", "32")

import jax
import jax.numpy as jnp
import pytest

from gen_jax.run import xla

# Tracing makes many objects that stay. To look for garbage among them less often saves an eighth.
gc.set_threshold(200_000, 20, 100)
jax.config.update("jax_num_cpu_devices", 8)
# Compiling is most of the time that tests take.
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_numpy_rank_promotion", "raise")  # catches [b] against [b, 1]
xla.prepare()
# XLA's older code generator compiles faster: it saves two fifths. XLA reads its flags once, and the
# processes that tests start have none of this.
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false", prepend=" ")
    jnp.zeros(()).block_until_ready()
# Small programs too are kept, for the next run and for the other processes of this one; not in the
# user's cache, where few and large ones are expected. Processes that the tests start use the
# user's.
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".cache" / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


LONG = (
    "test_stopped_and_resumed_equals_straight_through_bit_for_bit",
    "test_several_devices_equal_one",
    "test_networks_compute_in_bfloat16_and_all_else_stays_float32",
    "test_no_experiment_uses_a_key_twice",
    "test_no_evaluation_folds_a_number_into_a_key_twice",
)
# one player, two, and what remembers images: of these they are asked at once
ALWAYS = (
    "vae",
    "gan",
    "cyclegan",
)


def pytest_collection_modifyitems(config, items):
    """Of most papers the long questions are asked by `make long`; of those of --paper at once."""
    for item in items if not config.getoption("paper") else ():
        values = item.callspec.params if hasattr(item, "callspec") else {}
        paper = values.get("name", values.get("played"))
        if getattr(item, "originalname", None) in LONG and paper not in ALWAYS:
            item.add_marker(pytest.mark.long)


@pytest.fixture
def key_reuse():
    """Any use of a key twice is an error."""
    with jax.debug_key_reuse(True):
        yield
