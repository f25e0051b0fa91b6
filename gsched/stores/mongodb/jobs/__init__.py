"""Adds, changes, lists and removes jobs in MongoDB."""
