"""Runs before all else that is written in Python: lets the program start where PyInstaller's bootloader would not.

In a folder whose path is not UTF-8, the bootloader fails to decode that path; where descriptors or memory are short,
it reports what goes wrong in a page of its own. Until packaging/start_hook.py is done, this is one line.
"""

import sys


def _report(kind, error, traceback):
    if not issubclass(kind, (ImportError, MemoryError, OSError, SystemError)):
        sys.__excepthook__(kind, error, traceback)
        return
    import os
    import time

    reason = (getattr(error, "strerror", None) or "").lower() or str(error)
    if not issubclass(kind, (ImportError, OSError)):
        reason = "out of memory"
    if sys.stderr is not None:
        sys.stderr.write(f"{time.strftime('%Y/%m/%d %H:%M:%S')} Failed to start SMTP mock server: {reason}\n")
    # Not: a return, because then the bootloader adds a line.
    os._exit(1)


def _convert_this_path():
    """Have the path decoded and encoded as all file names are.

    The bootloader decodes it, and Python from 3.12 on encodes it to import an extension, both as strict UTF-8.
    """
    import codecs

    strict, escape = codecs.lookup_error("strict"), codecs.lookup_error("surrogateescape")

    def convert(error):
        path = {UnicodeDecodeError: _path, UnicodeEncodeError: sys._MEIPASS}.get(type(error))
        is_this_path = path is not None and error.object.startswith(path)
        return (escape if is_this_path else strict)(error)

    codecs.register_error("strict", convert)


sys.excepthook = _report
_path = sys._MEIPASS.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
try:
    _path.decode()
except UnicodeDecodeError:
    _convert_this_path()
