"""The command line: python -m core COMMAND."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from core import __version__, worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit code: 0 if all is well, 2 where something is wrong that it names."""
    parser = argparse.ArgumentParser(prog="python -m core", description="Momentum Lab without a screen.")
    parser.add_argument("--version", action="version", version=f"Momentum Lab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    works = "works on a shared search until it ends"
    command = commands.add_parser("worker", help=works, description=f"This machine {works}.")
    worker.options(command)
    command.set_defaults(run=worker.main)
    given = parser.parse_args(arguments)
    code: int = given.run(given)
    return code


if __name__ == "__main__":
    sys.exit(main())
