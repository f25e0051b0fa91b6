"""Jobs, runs and outcomes: the values, their checks, and their documents."""
