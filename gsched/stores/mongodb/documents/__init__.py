"""The shapes of documents: conversions between MongoDB's documents and gsched's values."""
