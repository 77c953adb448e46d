"""Imports a contract set from its files into modules of its own, beside whatever other sets are in use.

`sys.modules` is neither read nor written for names of ours: each module is executed with an `__import__` that knows the
set's own files and a short list of libraries. That keeps the sets apart and their imports honest; it is no sandbox.
What guards a set is that members have approved its hash.
"""

import builtins
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

ROOT: Final = "contracts"
LIBRARIES: Final = frozenset(
    {
        *(
            "abc",
            "ast",
            "bisect",
            "collections",
            "collections.abc",
            "dataclasses",
            "enum",
            "functools",
            "hashlib",
            "heapq",
        ),
        *("itertools", "math", "operator", "re", "struct", "tomllib", "types", "typing"),
        *("importlib.resources", "importlib.resources.abc"),  # by which a program finds its own files, never executed
        *("cbor2", "nacl", "nacl.bindings", "nacl.exceptions"),
    }
)
"""All that any contract set may import but its own modules."""
_WITHHELD: Final = ("breakpoint", "compile", "eval", "exec", "input", "open", "print")


class UnusableBundle(ValueError):
    """These files are not the set they should be, or cannot be loaded."""


def load_modules(sources: Mapping[str, bytes], names: tuple[str, ...], *, label: str) -> dict[str, ModuleType]:
    """Import the modules `names` (such as `contracts.execute`) of a set, and with them all that they import.

    label  tells the set's modules from those of others where Python shows a name

    Raises UnusableBundle.
    """
    loading = _Loading(sources, label)
    try:
        return {name: loading.module(name) for name in names}
    except UnusableBundle:
        raise
    except (Exception, SystemExit) as error:  # whatever executing a module of the set raises
        raise UnusableBundle(f"contract set {label} cannot be loaded: {error!r}") from error


class _Loading:
    def __init__(self, sources: Mapping[str, bytes], label: str) -> None:
        self._sources = sources
        self._label = label
        self._modules: dict[str, ModuleType] = {}
        self._builtins = {name: value for name, value in vars(builtins).items() if name not in _WITHHELD}
        self._builtins["__import__"] = self._import

    def module(self, name: str) -> ModuleType:
        """The set's module of this name, executed if it was not yet."""
        known = self._modules.get(name)
        if known is not None:
            return known
        path = self._path(name)
        if path is None:
            raise UnusableBundle(f"contract set {self._label} has no module {name}")
        parent, _, child = name.rpartition(".")
        above = self.module(parent) if parent else None
        # In `dataclasses` and `typing` a module's name leads to the namespace of the module in use under that name.
        made = ModuleType(f"{ROOT}@{self._label}{name.removeprefix(ROOT)}")
        made.__dict__["__builtins__"] = self._builtins
        self._modules[name] = made
        if above is not None:
            setattr(above, child, made)
        code = compile(self._sources[path], f"{made.__name__} ({path})", "exec", dont_inherit=True)
        exec(code, made.__dict__)
        return made

    def _path(self, name: str) -> str | None:
        place = name.removeprefix(ROOT).lstrip(".").replace(".", "/")
        candidates = (f"{place}.py", f"{place}/__init__.py") if place else ("__init__.py",)
        return next((path for path in candidates if path in self._sources), None)

    def _import(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        """`__import__` as the set's modules have it: absolute names, of the set or of LIBRARIES."""
        if level == 0 and (name == ROOT or name.startswith(f"{ROOT}.")):
            found = self.module(name)
            for item in fromlist or ():
                if not hasattr(found, item):
                    self.module(f"{name}.{item}")
            return found if fromlist else self.module(ROOT)
        if level == 0 and name in LIBRARIES:
            return __import__(name, fromlist=fromlist or ())
        raise UnusableBundle(f"contract set {self._label} imports {'.' * level}{name}, which no contract may")
