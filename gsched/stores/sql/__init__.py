"""Jobs in a SQL database, by SQLAlchemy Core. SQLite for now."""

from gsched.errors import ConfigurationError

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401  (to say what is missing, once)
except ImportError as error:
    raise ConfigurationError("SQLJobStore needs SQLAlchemy: pip install 'gsched[sql]'") from error

from gsched.stores.sql.store import SQLAlchemyJobStore, SQLJobStore

__all__ = ["SQLAlchemyJobStore", "SQLJobStore"]
