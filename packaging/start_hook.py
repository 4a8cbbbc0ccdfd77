"""Runs before the program: serves the modules of its start from one file, read and unmarshalled at once.

PyInstaller's own importer looks each module up, reads it and unpacks it alone. ``start.bin`` holds a dict of
module name to (whether it is a package, code); packaging/smtpmock.spec writes it. Whatever is not in it
comes from PyInstaller's importer as always.
"""

import gc
import io
import marshal
import sys

gc.disable()  # until smtpmock_cli.startup has imported the rest

_ModuleSpec = type(sys.__spec__)  # without importing importlib.machinery for it

with io.FileIO(f"{sys._MEIPASS}/start.bin") as _file:
    _modules = marshal.loads(_file.read())


class StartImporter:
    """A finder and loader of what ``start.bin`` holds."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        found = _modules.get(name)
        if found is None:
            return None
        spec = _ModuleSpec(name, StartImporter, is_package=found[0])
        if found[0]:  # where PyInstaller's importer looks for the modules of a package that are not here
            spec.submodule_search_locations.append(f"{sys._MEIPASS}/{name.replace('.', '/')}")
        return spec

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(_modules.pop(module.__name__)[1], module.__dict__)


sys.meta_path.insert(0, StartImporter)
sys.excepthook = sys.__excepthook__  # from here on, the program itself says what goes wrong
