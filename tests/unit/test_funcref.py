"""Function references: finding a function again, and which ones may be found."""

from __future__ import annotations

import functools
import os.path
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import gevent
import pytest

import gsched
from gsched import FuncRefError
from gsched.jobs.funcref import AllowedFunctions, ref_of, resolve

HERE = __name__


def function():
    return "function"


class Thing:
    @classmethod
    def made(cls):
        return cls

    @staticmethod
    def static():
        return "static"

    def method(self):
        return "method"

    class Inner:
        @staticmethod
        def deep():
            return "deep"


class Child(Thing):
    pass


@functools.wraps(function)
def shadow():
    return "shadow"


@pytest.mark.parametrize(
    ("func", "ref"),
    [
        (function, f"{HERE}:function"),
        (Thing, f"{HERE}:Thing"),
        (Thing.static, f"{HERE}:Thing.static"),
        (Thing.made, f"{HERE}:Thing.made"),
        (Child.made, f"{HERE}:Child.made"),
        (Thing.Inner.deep, f"{HERE}:Thing.Inner.deep"),
        (len, "builtins:len"),
        (OrderedDict.fromkeys, "collections:OrderedDict.fromkeys"),
        (lambda: 0, None),
        (Thing().method, None),
        (functools.partial(function), None),
        (shadow, None),  # under its name another function would be found
        ("text".upper, None),
    ],
)  # fmt: skip
def test_a_function_has_a_reference_when_it_is_found_under_it(func, ref):
    assert ref_of(func) == ref
    if ref is not None:
        assert resolve(ref) == func


def test_a_function_has_a_reference_already_in_its_decorator(tmp_path, monkeypatch):
    (tmp_path / "decorated_jobs.py").write_text(
        "from gsched.jobs.funcref import ref_of\n"
        "refs = []\n"
        "def note(func):\n    refs.append(ref_of(func))\n    return func\n"
        "@note\ndef poll():\n    pass\n"
        "class Jobs:\n    @note\n    def method(self):\n        pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import decorated_jobs

    assert decorated_jobs.refs == ["decorated_jobs:poll", None]
    assert resolve(decorated_jobs.refs[0]) is decorated_jobs.poll


def test_a_closure_has_none():
    def inner():
        pass

    assert ref_of(inner) is None


def test_a_replaced_function_has_none(monkeypatch):
    original = function
    monkeypatch.setitem(globals(), "function", lambda: "other")
    assert ref_of(original) is None


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("os.path.join", "write it as 'package.module:function'"),
        (":join", "write it as"),
        ("os.path:", "write it as"),
        ("no_such_module:main", "cannot import 'no_such_module'"),
        ("os.path:joint", "'os.path' has no 'joint'"),
        ("os.path:join.x", "'os.path' has no 'join.x'"),
        ("os.path:sep", "is not callable but a str"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_with_the_reason(ref, message):
    with pytest.raises(FuncRefError, match=message):
        resolve(ref)


def test_a_module_that_fails_to_import_is_refused_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no config')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FuncRefError, match="no config"):
        resolve("broken_module:main")


# -- what may be resolved -------------------------------------------------------------------------------------------


def test_nothing_is_allowed_that_was_not_named():
    with pytest.raises(FuncRefError, match="outside the modules this scheduler may call; name its module in modules="):
        AllowedFunctions().resolve("os:system")


def test_a_named_module_is_allowed_and_a_package_with_all_below_it():
    assert AllowedFunctions([HERE]).resolve(f"{HERE}:function") is function
    assert AllowedFunctions(["collections"]).resolve("collections:OrderedDict") is OrderedDict
    assert AllowedFunctions(["gsched."]).resolve("gsched.jobs.options:checked_text").__name__ == "checked_text"


@pytest.mark.parametrize("module", ["gsche", "gsched.job", "gsched.jobs.options.checked_text"])
def test_a_name_that_only_begins_alike_allows_nothing(module):
    with pytest.raises(FuncRefError):
        AllowedFunctions([module]).resolve("gsched.jobs.options:checked_text")


def test_an_allowed_module_is_no_way_round_to_others():
    with pytest.raises(FuncRefError, match="leads to os"):
        AllowedFunctions([HERE]).resolve(f"{HERE}:os.system")
    with pytest.raises(FuncRefError, match="leads to"):
        AllowedFunctions(["os.path"]).resolve("os.path:os.system")


def test_a_function_of_another_module_is_no_function_of_the_one_that_imported_it(package):
    package("porch", jobs="from shutil import rmtree")
    with pytest.raises(FuncRefError, match="leads to shutil"):
        AllowedFunctions(["porch.jobs"]).resolve("porch.jobs:rmtree")


@pytest.fixture
def house(package, tmp_path):
    """Functions allowed in a package that has more than functions in it, and notes what is evaluated."""
    code = f"""
import functools, os, subprocess
class Job:
    def run(self): ...
    @classmethod
    def begin(cls): ...
    @staticmethod
    def end(): ...
    @property
    def computed(self): note()
    @functools.cached_property
    def kept(self): note()
    def __getattr__(self, name): note()
class Shell(subprocess.Popen): ...
class Record(dict): ...
class Meta(type):
    def __getattr__(cls, name): note()
class Odd(metaclass=Meta): ...
def note():
    open({str(tmp_path / "evaluated")!r}, "w")
    return os.system
job = Job()
"""
    return package("house", jobs=code)


@pytest.mark.parametrize("name", ["Job", "Job.begin", "Job.end", "Job.run", "job.run", "job.begin", "Record"])
def test_functions_methods_and_classes_of_an_allowed_module_are_found(house, name):
    assert callable(house.resolve(f"house.jobs:{name}"))


@pytest.mark.parametrize(
    "name",
    [
        *("job.computed", "job.kept", "job.missing", "Job.computed.fget", "Odd.anything", "job.computed.run"),
        *("Shell", "os.system", "subprocess.Popen", "job.__class__.__base__.__subclasses__", "job.__dict__.get"),
        *("note.__globals__.get", "Job.run.__globals__", "functools.partial", "Job.__mro__.__getitem__"),
    ],
)
def test_nothing_is_evaluated_on_the_way_to_what_is_refused(house, tmp_path, name):
    with pytest.raises(FuncRefError):
        house.resolve(f"house.jobs:{name}")
    assert not (tmp_path / "evaluated").exists()


@pytest.mark.parametrize("ref", ["house.jobs:", "house..jobs:note", "house.jobs:a b", "house/jobs:f", "house.jobs:1"])
def test_a_text_that_is_no_reference_imports_nothing(house, ref):
    with pytest.raises(FuncRefError):
        house.resolve(ref)
    assert "house" not in sys.modules


def test_a_function_that_the_program_used_itself_is_allowed():
    allowed = AllowedFunctions()
    allowed.register("os.path:basename", os.path.basename)
    assert allowed.resolve("os.path:basename") is os.path.basename
    with pytest.raises(FuncRefError):
        allowed.resolve("os.path:dirname")


# -- modules that are programs --------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Packages in a directory, by their names and the code of their modules; they are forgotten afterwards."""
    made = []

    def make(name, **modules):
        made.append(name)
        (tmp_path / name).mkdir()
        for module, code in {"__init__": "", **modules}.items():
            (tmp_path / name / f"{module}.py").write_text(code)
        return AllowedFunctions([name])

    monkeypatch.syspath_prepend(str(tmp_path))
    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]


@pytest.mark.parametrize("exit", ["raise SystemExit('usage')", "raise KeyboardInterrupt", "raise BaseException"])
def test_a_module_that_exits_while_it_is_imported_or_asked_for_a_name_is_refused_with_the_reason(package, exit):
    lazily = f"def __getattr__(name):\n    if not name.startswith('__'):\n        {exit}\n"
    allowed = package("exits", at_once=exit, lazily=lazily)
    for module in ("at_once", "lazily"):
        with pytest.raises(FuncRefError, match=r"SystemExit|KeyboardInterrupt|BaseException"):
            allowed.resolve(f"exits.{module}:run")


def test_a_deadline_and_an_end_that_come_from_outside_pass_through_an_import(package):
    allowed = package("slow", jobs="import gevent\ngevent.sleep(10)\n", others="import gevent\ngevent.sleep(10)\n")
    with gevent.Timeout(0.01) as deadline:
        try:
            allowed.resolve("slow.jobs:run")
        except gevent.Timeout as passed:
            assert passed is deadline
        else:
            raise AssertionError("the deadline was lost")
    killed = gevent.spawn(allowed.resolve, "slow.others:run")
    gevent.sleep(0.01)
    killed.kill(timeout=1)
    assert isinstance(killed.value, gevent.GreenletExit)


def test_a_stored_reference_to_a_program_does_not_run_it(package, tmp_path):
    ran = tmp_path / "ran"
    allowed = package("program", __main__=f"open({str(ran)!r}, 'w').close()\ndef run(): pass\n")
    with pytest.raises(FuncRefError, match="would run that program"):
        allowed.resolve("program.__main__:run")
    assert not ran.exists()


def test_a_program_that_has_its_jobs_in_its_main_module_finds_them(package, tmp_path):
    find = "from gsched.jobs.funcref import AllowedFunctions\ndef run(): pass\n"
    find += "if __name__ == '__main__':\n    print(AllowedFunctions([MODULE]).resolve(MODULE + ':run').__name__)\n"
    package("program", __main__=find.replace("MODULE", "'program.__main__'"), script=find.replace("MODULE", "__name__"))
    for arguments in (["-m", "program"], [str(tmp_path / "program" / "script.py")]):
        root = str(Path(gsched.__file__).parent.parent)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": root}
        )
        assert done.stdout == "run\n", done.stderr
