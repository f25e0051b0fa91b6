"""The runner: a process, or several, that runs an application's jobs."""
