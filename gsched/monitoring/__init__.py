"""The state of schedulers and stores, as values. Nothing here queries a database."""
