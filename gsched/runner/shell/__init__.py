"""Shell commands as jobs: their processes, process groups and output."""
