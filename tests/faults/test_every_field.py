"""Each field of each experiment's config, nested ones too, refuses each value that it must not
have, by its name.
"""

import dataclasses
import importlib
import math
import types
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest

from gen_jax.config import Range, from_json, hints_of, to_json
from gen_jax.errors import UserError
from gen_jax.run.experiment import presets
from tests.golden import experiments


class Other:
    """Of a type that no field has."""


def bad(hint):
    """Values that a field of this type must refuse."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ranges = [one for one in args[1:] if isinstance(one, Range)]
        for one in ranges:
            step = 1 if args[0] is int else 1e-6
            yield from (
                value
                for end, value in ((one.least, one.least - step), (one.most, one.most + step))
                if math.isfinite(end)
            )
            yield from (end for end in (one.least, one.most) if one.open and math.isfinite(end))
        yield from bad(args[0])
    elif origin in (Union, types.UnionType):
        yield from ("no such", Other())
    elif origin is tuple:
        yield from ((), [], "no such", *((value,) for value in bad(args[0])))
    elif origin is Literal:
        yield from ("no such", None, -1, Other())
    elif hint is float:
        yield from (math.nan, math.inf, -math.inf, "1", None, True, Other())
    elif hint is int:
        yield from (math.nan, 0.5, 1.0, "1", None, True, Other())
    elif hint is str:
        yield from (None, 3, Other())
    elif hint is bool:
        yield from ("yes", 1, None)
    else:
        yield from ("no such", None, 3, Other())


def fields(config, prefix=""):
    """(path to a nested config, it, the field's name, its type)"""
    for name, hint in hints_of(type(config)).items():
        yield prefix, config, name, hint
        if dataclasses.is_dataclass(value := getattr(config, name)):
            yield from fields(value, f"{prefix}{name}.")


@pytest.mark.parametrize("experiment", experiments())
def test_each_bad_value_of_each_field_is_refused_by_name(experiment):
    module = importlib.import_module(f"experiments.{experiment}")
    tried = 0
    for prefix, config, name, hint in fields(presets(module)["tiny"][1]):
        for value in bad(hint):
            with pytest.raises(UserError) as caught:
                dataclasses.replace(config, **{name: value})
            assert str(caught.value).startswith(f"{name.replace('_', '-')} is "), (
                prefix,
                name,
                value,
                caught.value,
            )
            assert "must be" in str(caught.value) or "give" in str(caught.value)
            tried += 1
    assert tried > 100


@pytest.mark.parametrize("experiment", experiments())
def test_each_bad_value_of_a_file_is_refused(experiment):
    """As config.json may hold it after an edit: and an unknown field."""
    module = importlib.import_module(f"experiments.{experiment}")
    config = presets(module)["tiny"][1]
    plain = to_json(config)
    assert from_json(type(config), plain, "config.json") == config
    for prefix, _, name, hint in fields(config):
        for value in (-1e9, "no such", [], None, {"no": "such"}):
            if isinstance(value, str) and hint in (Path | None, str):
                continue
            changed = to_json(config)
            inner = changed
            for part in prefix.split(".")[:-1]:
                inner = inner[part]
            if inner[name] == value:
                continue
            inner[name] = value
            with pytest.raises(UserError, match="is not a valid Config"):
                from_json(type(config), changed, "config.json")
    with pytest.raises(UserError, match="is not a valid Config"):
        from_json(type(config), {**plain, "no_such": 1}, "config.json")
