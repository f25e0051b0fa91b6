"""The import rule: modules stand in layers, and imports point down only."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import gsched

ROOT = Path(gsched.__file__).parent

# From the ground up. A module may import from layers below its own, and from its own package.
LAYERS = [
    ["errors", "spelling", "batches", "file_rights"],
    ["local_zone", "callables", "shared_sockets", "patching", "forks"],
    [
        *("durations", "histogram", "instants", "clock", "slices", "threads", "runtime", "stacks", "wording"),
        *("interrupts", "text_files", "log_lines", "helpers"),
    ],
    ["embedded"],
    ["triggers"],
    ["funcref"],
    ["job"],
    ["run"],
    ["planning", "recent", "troubles"],
    ["timetable", "events", "document", "history", "records", "explanation", "explaining", "nodes", "doctor"],
    ["facts", "activity", "bus"],
    ["executors", "stores"],
    ["repetition"],
    ["figures", "lane", "log", "store_side", "reporter", "watchdog"],
    ["dispatch"],
    ["message_reader"],
    ["hub", "vitals", "health"],
    ["scheduler_settings"],
    ["parts", "handle"],
    ["json_items"],
    ["building", "exchange"],
    ["verbs"],
    ["scheduler"],
    ["config", "metrics"],
    ["testing"],
    ["web"],
    ["runner"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# Who may read the machine's clocks: the clock, what measures its own use of the processor, and what is not in this
# process or has no part in scheduling.
READS_TIME = {
    *("clock", "slices", "watchdog", "executors.process_worker", "embedded.flocks", "embedded.guardian"),
    "cli.asking",
}


def modules() -> list[str]:
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ROOT.rglob("*.py")]
    return sorted(name for name in names if name != "__init__")


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


@pytest.mark.parametrize("module", modules())
def test_every_module_has_its_layer_and_imports_from_below(module):
    part = module.partition(".")[0]
    assert part in RANK, "give the new module a place in LAYERS"
    for imported in filter(None, map(own_module, imports_of(module, for_checkers=True))):
        other = imported.partition(".")[0]
        assert other == part or RANK[other] <= RANK[part], f"{module} imports {imported} from above"


@pytest.mark.parametrize("module", modules())
def test_nothing_imports_the_package_root(module):
    if module != "__main__":
        assert "" not in map(own_module, set(imports_of(module)) - {"gsched.__version__"})


# `helpers` itself, what gets the error from the greenlet, and connections, whose errors gevent's server answers.
SPAWNS = {"helpers", "testing.driver", "web.server"}


@pytest.mark.parametrize("module", modules())
def test_greenlets_are_started_by_helpers_which_report_their_errors(module):
    attributes = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.Attribute)]
    spawned = {ast.unparse(node) for node in attributes if node.attr.startswith("spawn")}
    assert module in SPAWNS or not spawned


@pytest.mark.parametrize("module", modules())
def test_only_the_clock_reads_time(module):
    if module in READS_TIME:
        return
    assert not {name.partition(".")[0] for name in imports_of(module)} & {"time"}
    readings = [
        ast.unparse(node)
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
        and ast.unparse(node.value) in ("datetime", "date")
    ]  # fmt: skip
    assert not readings


def test_modules_do_not_import_each_other():
    # A package's __init__ is reached by its own name.
    refuse_cycles({module.removesuffix(".__init__"): imported for module, imported in imports().items()})


def test_packages_do_not_import_each_other():
    graph: dict[str, set[str]] = defaultdict(set)
    for module, imported in imports().items():
        part = module.partition(".")[0]
        graph[part] |= {other.partition(".")[0] for other in imported} - {part}
    refuse_cycles(graph)


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
