"""PyMongo: clients, codecs, errors, indexes."""
