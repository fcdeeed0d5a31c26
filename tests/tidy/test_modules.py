"""Every module of src is reached by the command line and held by a test."""

from __future__ import annotations

from tests.tidy.checkout import ROOT, SOURCE, files, listed, named
from tests.tidy.imports import modules, used_by

ENTRY_POINT = "meshtrail.__main__"


def test_every_module_is_reached_from_the_command_line() -> None:
    reached: set[str] = set()
    waiting = {ENTRY_POINT}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        # Importing a.b.c runs a and a.b first.
        parents = {name.rsplit(".", level)[0] for level in range(1, name.count(".") + 1)}
        waiting |= (used_by(modules()[name]) | parents & modules().keys()) - reached
    dead = sorted(named(modules()[name]) for name in modules().keys() - reached)
    assert not dead, listed(dead)


def test_every_module_has_a_test_that_mirrors_or_imports_it() -> None:
    imported = {name for path in files("tests", suffix=".py") for name in used_by(path)}
    untested = [
        named(path)
        for name, path in modules().items()
        if not path.name.startswith("__") and name not in imported and not has_mirror(name)
    ]
    assert not untested, listed(untested)


def test_every_mirrored_test_has_its_module() -> None:
    # A unit test whose folder has no package left over there tests something that has moved.
    packages = {path.parent.relative_to(SOURCE / "meshtrail") for path in modules().values()}
    astray = [
        named(path)
        for path in files("tests/unit", suffix=".py")
        if path.parent.relative_to(ROOT / "tests" / "unit") not in packages
    ]
    assert not astray, listed(astray)


def has_mirror(name: str) -> bool:
    """Whether meshtrail.a.b has tests/unit/a/test_b.py, or several test_b_*.py."""
    *folders, module = name.split(".")[1:]
    folder = ROOT.joinpath("tests", "unit", *folders)
    return any([*folder.glob(f"test_{module}.py"), *folder.glob(f"test_{module}_*.py")])
