"""The runner: a process, or several, that runs an application's jobs."""

from gsched.platforms import require_posix

require_posix("the runner, with its shell commands,")
