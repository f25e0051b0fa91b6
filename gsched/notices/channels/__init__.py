"""The ways of messages: a file for each."""
