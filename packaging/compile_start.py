"""Compiles modules into the one file that packaging/start_hook.py serves: ``compile_start.py FILE MODULE …``."""

from __future__ import annotations

import importlib.util
import marshal
import sys
from pathlib import Path
from types import CodeType

sys.path.insert(0, str(Path(__file__).parent.parent))


def compiled(name: str) -> tuple[bool, CodeType] | None:
    """Whether the module is a package, and its code; None where it is not written in Python."""
    spec = importlib.util.find_spec(name)
    if spec is None or not (spec.origin or "").endswith(".py"):
        return None
    # Named by the module, because a path would differ from machine to machine.
    source = Path(str(spec.origin)).read_bytes()
    code: CodeType = compile(source, name, "exec", dont_inherit=True, optimize=2)
    return spec.submodule_search_locations is not None, code


def main() -> None:
    path, *names = sys.argv[1:]
    modules = {name: found for name in names if (found := compiled(name)) is not None}
    Path(path).write_bytes(marshal.dumps(modules))


if __name__ == "__main__":
    main()
