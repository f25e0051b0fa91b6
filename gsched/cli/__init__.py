"""The command line: `gsched NOUN VERB`.

Commands are imported when they are used, and what they do not need is not: `gsched --help` and `gsched health` import
neither gevent nor PyMongo. Only what runs or imports an application patches the process.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

from gsched.errors import ConfigurationError
from gsched.platforms import require_posix

COLLECTION_THRESHOLDS: Final = (20_000, 20, 20)  # default: 700, 10, 10


def main() -> int:
    """Run the command in sys.argv; its exit code, see gsched.runner.exit_codes."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)  # imports and jobs make many objects, and hardly any garbage
    try:
        require_posix("the command line")
    except ConfigurationError as error:
        print(f"gsched: {error}", file=sys.stderr)
        return 2
    try:
        from gsched.cli.app import run_command_line
        from gsched.cli.ending import end

        return end(run_command_line())
    except KeyboardInterrupt:  # while it is being imported
        return 130
