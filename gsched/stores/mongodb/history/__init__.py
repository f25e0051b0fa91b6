"""The history of runs in MongoDB: written and read."""
