"""How a SQL database answers the claim protocol."""
