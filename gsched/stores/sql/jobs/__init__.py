"""The definitions of jobs: added, found, changed and removed, in any process."""
