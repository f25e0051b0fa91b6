"""Several runner processes under one supervisor."""
