"""Function references: a callable as "package.module:qualname", and which ones may be resolved."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, MappingProxyType
from typing import Any, Final, TypeVar

from gevent import GreenletExit, Timeout

from gsched.errors import FuncRefError

# What others throw into a greenlet: a deadline of the caller's, or its end. Neither tells anything of a module.
_THROWN: Final = (GreenletExit, Timeout)
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})

F = TypeVar("F", bound=Callable[..., Any])


def executes_its_arguments(func: F) -> F:
    """Decorator for a function whose arguments are a program, such as a shell command.

    A scheduler that uses the function allows stored jobs to call it with those arguments only.
    """
    func.executes_its_arguments = True  # type: ignore[attr-defined]
    return func


def ref_of(func: Callable[..., Any]) -> str | None:
    """The reference under which `func` is found again, or None for lambdas, closures and instances."""
    if isinstance(func, functools.partial):
        return None
    module, qualname = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    if type(func) is FunctionType and getattr(sys.modules.get(func.__module__), func.__qualname__, None) is func:
        return f"{module}:{qualname}"  # as below; most functions are of this kind
    owner = getattr(func, "__self__", None)
    if inspect.ismodule(owner):  # that of a built-in function
        owner = None
    if inspect.isclass(owner):  # a class method may be inherited: name the class it was taken from
        module, qualname = owner.__module__, f"{owner.__qualname__}.{func.__name__}"
    if not module or not qualname or "<" in qualname or (owner is not None and not inspect.isclass(owner)):
        return None
    try:
        found = _lookup(f"{module}:{qualname}")
    except FuncRefError:
        return f"{module}:{qualname}" if _is_being_defined(func, module, qualname) else None
    return f"{module}:{qualname}" if found == func else None


def _is_being_defined(func: Callable[..., Any], module: str, qualname: str) -> bool:
    """True for a function that a decorator just gets: its module has the name after the decorator returns."""
    namespace = vars(sys.modules[module]) if module in sys.modules else None
    is_its_own = namespace is not None and getattr(func, "__globals__", None) is namespace
    return is_its_own and "." not in qualname and getattr(func, "__name__", None) == qualname


def resolve(ref: str) -> Callable[..., Any]:
    """The callable that a trusted `ref` names (from the program itself, not from a store).

    Raises FuncRefError if the text is no reference, its module cannot be imported, or nothing callable is there.
    """
    return _callable(ref, _lookup(ref))


def _callable(ref: str, found: Any) -> Callable[..., Any]:
    if not callable(found):
        raise FuncRefError(f"{ref!r} is not callable but a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _is_computed(found: object) -> bool:
    """True for a property or another descriptor of a class."""
    return hasattr(type(found), "__get__") and not callable(found) and not isinstance(found, classmethod)


def _homes_of_making(func: Callable[..., Any]) -> Iterator[str]:
    """For a class, the modules of the functions that make an instance, without Python's own."""
    if inspect.isclass(func):
        for name in ("__new__", "__init__"):
            definer = next(each for each in func.__mro__ if name in vars(each))
            if definer.__module__ != "builtins":
                yield definer.__module__


def _lookup(ref: str, step: Callable[[Any, str], Any] = getattr) -> Any:
    """The object at `ref`. `step` gets each attribute, from the module on."""
    module_name, colon, qualname = ref.partition(":")
    if not colon or not all(name.isidentifier() for name in (*module_name.split("."), *qualname.split("."))):
        raise FuncRefError(f"{ref!r} is not a function reference; write it as 'package.module:function'")
    try:
        module = importlib.import_module(module_name)
    except _THROWN:
        raise
    except BaseException as error:  # user modules may raise anything while they are imported, or exit
        raise FuncRefError(f"{ref!r}: cannot import {module_name!r}: {error!r}") from error
    try:
        return functools.reduce(step, qualname.split("."), module)
    except FuncRefError as error:
        raise FuncRefError(f"{ref!r} {error}") from None
    except AttributeError:
        raise FuncRefError(f"{ref!r}: {module_name!r} has no {qualname!r}") from None
    except _THROWN:
        raise
    except BaseException as error:  # some modules import others when a name is looked up
        raise FuncRefError(f"{ref!r}: {error!r}") from error


def _is_program(module: str) -> bool:
    """True if importing this module would run another program."""
    if "__main__" not in module.split(".") or module in sys.modules:
        return False
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # None where a file is run, not `python -m`
    return spec is None or spec.name != module


class AllowedFunctions:
    """Which stored references may be resolved: those inside named modules, and functions that the program itself used.

    A store is input from outside. Without this limit, a user who can write to the store could have `os:system` called.

    :param modules: module names; a package allows everything below it
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self._modules = {module.rstrip(".") for module in modules}
        self._registered: dict[str, Callable[..., Any]] = {}
        self._calls: dict[tuple[str, str], Callable[..., Any]] = {}

    def allow(self, modules: Iterable[str]) -> None:
        """Allow these modules, too."""
        self._modules |= {module.rstrip(".") for module in modules}

    def register(
        self, ref: str, func: Callable[..., Any], args: Iterable[Any] = (), kwargs: Mapping[str, Any] = _NONE
    ) -> None:
        """Allow one reference: the program used this function itself, with these arguments.

        Stored jobs may call the function with any arguments, unless it executes them.
        """
        if not hasattr(func, "executes_its_arguments"):
            self._registered[ref] = func
        elif (call := _as_text(args, kwargs)) is not None:
            self._calls[ref, call] = func

    def registered_call(
        self, ref: str, args: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> Callable[..., Any] | None:
        """The function that executes its arguments, if the program itself used it with the same ones."""
        call = _as_text(args, kwargs) if self._calls else None
        return None if call is None else self._calls.get((ref, call))

    def resolve(self, ref: str) -> Callable[..., Any]:
        """The callable, if it may be resolved. Raises FuncRefError with the reason if not.

        The function must also *live* in an allowed module, and so must every object on the way to it; otherwise
        `myapp:os.system` would be a way round. Nothing on the way is evaluated. For a class, the functions that make an
        instance must live in an allowed module.
        """
        registered = self._registered.get(ref)
        if registered is not None:
            return registered
        module = ref.partition(":")[0]
        if not self.allows_module(module):
            raise FuncRefError(f"{ref!r} is outside the modules this scheduler may call; name its module in modules=")
        if _is_program(module):
            raise FuncRefError(f"{ref!r}: to import {module!r} would run that program")
        func = _callable(ref, _lookup(ref, self._step))
        for home in (getattr(inspect.unwrap(func), "__module__", None), *_homes_of_making(func)):
            if not self.allows_module(home or ""):
                raise FuncRefError(f"{ref!r} leads to {home}, outside the modules this scheduler may call")
        return func

    def _step(self, owner: Any, name: str) -> Any:
        """The attribute, if its owner lives in an allowed module and getting it calls no code of the owner's."""
        if inspect.ismodule(owner):
            home = owner.__name__
        else:
            home = owner.__module__ if inspect.isclass(owner) else type(owner).__module__
        if not self.allows_module(home):
            raise FuncRefError(f"leads to {home}, outside the modules this scheduler may call")
        if not inspect.ismodule(owner) and _is_computed(inspect.getattr_static(owner, name)):
            raise FuncRefError(f"is no function: {name!r} is computed when it is read")
        return getattr(owner, name)

    def allows_module(self, module: str) -> bool:
        """True if references into this module may be resolved."""
        return any(module == allowed or module.startswith(allowed + ".") for allowed in self._modules)


def _as_text(args: Iterable[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Text that is equal for arguments that a store does not tell apart; None if they cannot be compared."""
    try:
        return json.dumps([list(args), dict(kwargs)], sort_keys=True, default=dict)
    except (TypeError, ValueError, RecursionError):
        return None


class UnresolvedFunctions(AllowedFunctions):
    """For programs that look at jobs and never run them: every reference is accepted, and nothing is imported."""

    def resolve(self, ref: str) -> Callable[..., Any]:
        """Something that stands for the function. Raises FuncRefError if the text is no reference."""
        module, colon, qualname = ref.partition(":")
        if not (module and colon and qualname):
            raise FuncRefError(f"{ref!r} is not a function reference; write it as 'package.module:function'")
        return _NotHere(ref)


class _NotHere:
    def __init__(self, ref: str) -> None:
        self.__qualname__ = ref

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        raise FuncRefError(f"{self.__qualname__!r} is not resolved here")
