"""Who imports whom: few modules at the top, floors that no import climbs, and no circles.

A room is a module at the top of gen_jax, or a folder of it; all experiments are one room. Arrows go
from a room to those whose modules it imports, wherever in a file the import stands.
"""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (  # from the ground up; a room imports from those below it, and none imports `gen_jax` itself but experiments
    ("batching", "errors", "precision", "types"),
    ("config", "distributions", "game", "losses", "statistics", "storage"),
    ("console", "images", "networks", "objectives", "optimizers"),
    ("data", "report"),
    ("pretrained", "run"),
    ("evaluation", "study", "use"),
    ("demo", "experiments", "export", "measure"),
)
DEPTH = 7  # arrows in a row, with the first room
TOP = 14  # modules at the top of gen_jax, beside __init__
ARROWS = 118


def modules():
    """{dotted name: path} of all files of gen_jax and experiments; a package by its own name."""
    paths = [*ROOT.glob("gen_jax/**/*.py"), *ROOT.glob("experiments/**/*.py")]
    return {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in paths
    }


MODULES = modules()


def imported(source, module, is_package, known):
    """The modules among `known` that this source imports; of `from p import a`, p.a where that is
    one.
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                named = f"{whole}.{alias.name}"
                if named in known or whole in known:
                    yield named if named in known else whole


def room(module):
    """None for gen_jax itself, which is a door to all rooms."""
    first, *rest = module.split(".")
    return first if first != "gen_jax" else rest[0] if rest else None


@functools.cache
def arrows():
    """{module: the modules that it imports}, without itself."""
    return {
        module: {*imported(path.read_text("utf-8"), module, path.name == "__init__.py", MODULES)}
        - {module}
        for module, path in MODULES.items()
    }


def between_rooms():
    """{room: {room that it imports from: [who imports whom]}}"""
    found = {room(module): {} for module in MODULES if room(module)}
    for module, targets in arrows().items():
        for target in targets:
            here, there = room(module), room(target)
            if here and there and here != there:
                found[here].setdefault(there, []).append(f"{module} imports {target}")
    return found


def depths(graph):
    """{node: the length of the longest way down from it}; ValueError where a way comes back."""
    known = {}

    def depth(node, way):
        if node in way:
            raise ValueError(f"a circle: {' -> '.join([*way[way.index(node) :], node])}")
        if node not in known:
            known[node] = 1 + max((depth(n, [*way, node]) for n in sorted(graph[node])), default=0)
        return known[node]

    return {node: depth(node, []) for node in graph}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import p.a", {"p.a"}),
        ("def late():\n    import p.q.b as b", {"p.q.b"}),
        ("from p import a, q", {"p.a", "p.q"}),
        ("from p.a import value", {"p.a"}),
        ("from p import value", {"p"}),
        ("from . import b", {"p.q.b"}),
        ("from .b import value", {"p.q.b"}),
        ("from .. import a", {"p.a"}),
        ("from ..a import value", {"p.a"}),
        ("import os, numpy.linalg\nfrom os import path", set()),
    ],
)
def test_each_way_to_import_is_seen(source, expected):
    known = {"p", "p.a", "p.q", "p.q.b", "p.q.c"}
    assert {*imported(source, "p.q.c", False, known)} == expected


def test_depths_and_circles():
    assert depths({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": 3, "b": 2, "c": 1}
    with pytest.raises(ValueError, match="b -> c -> b"):
        depths({"a": {"b"}, "b": {"c"}, "c": {"b"}})


def test_few_modules_at_the_top():
    top = [p.stem for p in ROOT.glob("gen_jax/*.py") if p.stem != "__init__"]
    assert len(top) <= TOP, sorted(top)


def test_each_room_has_its_floor():
    assert sorted(name for floor in FLOORS for name in floor) == sorted(between_rooms())


def test_no_import_goes_up_or_stays_on_its_floor():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    wrong = [
        line
        for here, targets in between_rooms().items()
        for there, lines in targets.items()
        if floor[here] <= floor[there]
        for line in lines
    ]
    assert not wrong


def test_rooms_have_no_circle_and_are_not_deep():
    """All that is imported by some way from experiments, and nothing above them."""
    deep = depths(between_rooms())
    assert max(deep.values()) <= DEPTH and deep["experiments"] == max(deep.values()), deep


def test_few_arrows_between_rooms():
    assert sum(len(targets) for targets in between_rooms().values()) <= ARROWS


def test_modules_have_no_circle():
    """In each folder and among them all."""
    depths(arrows())


def test_only_experiments_come_in_by_the_door():
    assert {room(m) for m, targets in arrows().items() if "gen_jax" in targets} <= {"experiments"}


def test_experiments_import_none_of_each_other():
    papers = {p.stem for p in ROOT.glob("experiments/*.py") if not p.stem.startswith("_")}
    for module in (f"experiments.{paper}" for paper in papers):
        others = {m for m in arrows()[module] if m.removeprefix("experiments.") in papers}
        assert not others, module
