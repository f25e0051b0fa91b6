"""The import rule: folders stand in layers, and imports point down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import gsched

ROOT = Path(gsched.__file__).parent

# From the ground up: a folder, or a file of the root. Each imports from those before it, and from itself.
ROOMS = [
    "errors",
    "platforms",
    "checks",
    "lazy_names",
    "wording",
    "masking",
    "times",
    "files",
    "event_loop",
    "embedded",
    "triggers",
    "jobs",
    "policies",
    "events",
    "history",
    "monitoring",
    "executors",
    "notices",
    "stores",  # the contract, the messages to the hub, and the memory store
    "stores.claims",
    "stores.durable",
    "stores.mongodb.driver",
    "stores.mongodb.documents",
    "stores.mongodb.jobs",
    "stores.mongodb.claims",
    "stores.mongodb.history",
    "stores.mongodb.operations",
    "stores.mongodb",
    "stores.sql.driver",
    "stores.sql.rows",
    "stores.sql.jobs",
    "stores.sql.claims",
    "stores.sql.history",
    "stores.sql.operations",
    "stores.sql",
    "hub",
    "schedulers",
    "shapes",
    "config",
    "metrics",
    "testing",
    "web",
    "runner",
    "cli",
    "cli.commands",
    "__main__",
]
RANK = {room: rank for rank, room in enumerate(ROOMS)}

# It names the stores in databases for type checkers, and imports them when somebody asks for them.
DOOR_TO_STORES = "stores.__init__"

DRIVER = {"bson", "pymongo", "sqlalchemy", "sqlite3"}

# Who may read the machine's clocks: the clock, what measures how long something takes, and what is not in this
# process or has no part in scheduling.
READS_TIME = {
    *("times.clock", "event_loop.slices", "hub.watchdog", "executors.process_worker", "embedded.file_locks"),
    *("embedded.guardian", "cli.probe_client", "stores.sql.driver.timing"),
}


def modules() -> list[str]:
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ROOT.rglob("*.py")]
    return sorted(name for name in names if name != "__init__")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())


def imports_of(module: str, for_checkers: bool = False) -> Iterator[str]:
    """What a module imports when it is used, as dotted names; also what is for type checkers only, if that is asked."""
    unseen: list[ast.AST] = [tree_of(module)]
    while unseen:
        node = unseen.pop()
        if not for_checkers and isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        unseen.extend(ast.iter_child_nodes(node))


def own_module(imported: str) -> str | None:
    """The module of ours that `gsched.a.b.Name` comes from, relative to the package; None for others'."""
    package, _, rest = imported.partition(".")
    if package != "gsched":
        return None
    parts = rest.split(".")
    while parts:
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            return ".".join(parts)
        parts.pop()
    return ""


def room_of(module: str) -> str:
    """The innermost room that the module is in."""
    inside = [room for room in ROOMS if f"{module}.".startswith(f"{room}.")]
    assert inside, f"give {module} a place in ROOMS"
    return max(inside, key=len)


def test_every_module_imports_from_its_own_room_and_those_below_it():
    from_above = [
        f"{module} imports {other}"
        for module in modules()
        for other in filter(None, map(own_module, imports_of(module, for_checkers=module != DOOR_TO_STORES)))
        if RANK[room_of(other)] > RANK[room_of(module)]
    ]
    assert from_above == []


def test_the_claim_protocol_imports_no_driver():
    protocol = [name for name in modules() if name.startswith("stores.claims.")]
    packages = {
        module: {name.partition(".")[0] for name in imports_of(module, for_checkers=True)} for module in protocol
    }
    assert packages and [module for module in protocol if packages[module] & DRIVER] == []


def test_nothing_imports_the_package_root():
    others = set(modules()) - {"__main__"}
    assert [name for name in others if "" in map(own_module, set(imports_of(name)) - {"gsched.__version__"})] == []


# The helpers themselves, what gets the error from the greenlet or thread, and connections, whose errors gevent's server
# answers.
SPAWNS = {"event_loop.helpers", "stores.sql.claims.news", "testing.driver", "web.server"}


def test_greenlets_are_started_by_helpers_which_report_their_errors():
    spawned = {
        (module, ast.unparse(node))
        for module in set(modules()) - SPAWNS
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute) and node.attr.startswith("spawn")
    }
    assert spawned == set()


def test_only_the_clock_reads_time():
    others = set(modules()) - READS_TIME
    assert [module for module in others if "time" in {name.partition(".")[0] for name in imports_of(module)}] == []
    readings = {
        (module, ast.unparse(node))
        for module in others
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
        and ast.unparse(node.value) in ("datetime", "date")
    }  # fmt: skip
    assert readings == set()


def test_modules_of_a_room_do_not_import_each_other():
    # A package's __init__ is reached by its own name.
    refuse_cycles({module.removesuffix(".__init__"): imported for module, imported in imports().items()})


def imports() -> dict[str, set[str]]:
    return {module: {own for own in map(own_module, imports_of(module)) if own} for module in modules()}


def refuse_cycles(graph: Mapping[str, set[str]]) -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        for imported in graph.get(module, ()):
            visit(imported, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_no_two_classes_have_the_same_name():
    homes: dict[str, list[str]] = {}
    for module in [*modules(), "__init__"]:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.lstrip("_"), []).append(module)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}
