"""What gsched serves over HTTP."""
