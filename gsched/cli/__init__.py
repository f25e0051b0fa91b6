"""The command line: `gsched NOUN VERB`.

Commands are imported when they are used, and what they do not need is not: `gsched --help` and `gsched health` import
neither gevent nor PyMongo. Only what runs or imports an application patches the process.
"""

from __future__ import annotations


def main() -> int:
    """Run the command in sys.argv; its exit code, see gsched.runner.exits."""
    try:
        from gsched.cli.app import run_command_line
        from gsched.cli.ending import end

        return end(run_command_line())
    except KeyboardInterrupt:  # while it is being imported
        return 130
