"""HTTP: the probe port of a runner, with its checks, metrics and overview."""
