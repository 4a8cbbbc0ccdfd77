"""``python -m smtpmock_cli``, and the frozen program."""

import sys

from smtpmock_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
