"""The channels of messages: one file for each kind."""
