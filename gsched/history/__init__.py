"""The history: outcomes of due instants, and their explanation."""
