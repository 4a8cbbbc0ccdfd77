"""``python -m smtpmock_cli``, the ``smtpmock`` command, and the frozen program."""

import sys

from smtpmock_cli.startup import spared

with spared():
    from smtpmock_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
