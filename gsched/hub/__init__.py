"""The hub greenlet: it reads the stores' messages, decides due instants, submits runs and settles their results."""
