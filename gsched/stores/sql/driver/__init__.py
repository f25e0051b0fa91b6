"""SQLAlchemy and SQLite: the file, native threads, transactions, tables."""
