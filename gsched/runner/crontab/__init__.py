"""The jobs of a crontab."""
