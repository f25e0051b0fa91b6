"""Times: milliseconds, durations, zones, and the clock."""
