"""Function references: finding a function again, and which ones may be found."""

from __future__ import annotations

import functools
import os.path
from collections import OrderedDict

import pytest

from gsched import FuncRefError
from gsched.funcref import AllowedFunctions, ref_of, resolve

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
        "from gsched.funcref import ref_of\n"
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
    assert AllowedFunctions(["gsched."]).resolve("gsched.job:name_of").__name__ == "name_of"


@pytest.mark.parametrize("module", ["gsche", "gsched.jobs", "gsched.job.name_of"])
def test_a_name_that_only_begins_alike_allows_nothing(module):
    with pytest.raises(FuncRefError):
        AllowedFunctions([module]).resolve("gsched.job:name_of")


def test_an_allowed_module_is_no_way_round_to_others():
    with pytest.raises(FuncRefError, match="leads to posix"):
        AllowedFunctions([HERE]).resolve(f"{HERE}:os.system")
    with pytest.raises(FuncRefError, match="leads to"):
        AllowedFunctions(["os.path"]).resolve("os.path:os.system")


def test_what_the_program_used_itself_is_allowed():
    allowed = AllowedFunctions()
    allowed.register("os.path:basename", os.path.basename)
    assert allowed.resolve("os.path:basename") is os.path.basename
    with pytest.raises(FuncRefError):
        allowed.resolve("os.path:dirname")
