"""What can be imported from gen_jax itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gen_jax


def test_each_name_is_what_type_checkers_read():
    """The .pyi names the module of each; what is loaded lazily must be the same object."""
    tree = ast.parse(Path(gen_jax.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    ours = {a.name: node.module for node in imports for a in node.names if "gen_jax" in node.module}
    assert {*ours, "cli"} == set(gen_jax.__all__)
    for name, module in ours.items():
        value = getattr(gen_jax, name)
        if module == "gen_jax":
            assert value is sys.modules[f"gen_jax.{name}"]
        else:
            assert value is getattr(sys.modules[module], name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Players'"):
        _ = gen_jax.Players


def test_the_package_alone_imports_nothing_else():
    code = "import sys, gen_jax; print(*(m for m in ('jax', 'flax', 'gen_jax.game') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
