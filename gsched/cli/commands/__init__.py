"""The commands, one file for each group, named as it is typed."""
