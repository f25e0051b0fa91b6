"""How documents are encoded and decoded, and the types of documents and collections."""

from __future__ import annotations

from datetime import UTC
from typing import Any, TypeAlias

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.collection import Collection

Document: TypeAlias = dict[str, Any]
Jobs: TypeAlias = Collection[Document]


# Reading is tolerant, so that one strange document does not hide the others of its batch: a date outside datetime's
# range comes as BSON's own type, and bytes that are not UTF-8 are replaced.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
