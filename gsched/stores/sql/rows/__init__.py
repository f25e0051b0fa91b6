"""The shapes of rows: conversions between rows and gsched's values."""
