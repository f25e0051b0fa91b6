"""How MongoDB answers the claim protocol."""
