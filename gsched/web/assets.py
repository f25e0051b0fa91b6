"""The files of the pages: one directory that is named by the hash of all of them, so that browsers keep them for ever.

The files refer to each other by relative addresses, so that a change of one renews all. The page names all modules that
its address needs, so that a browser asks for all of them at once, and not for each when it has read what imports it.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gsched.web.refusals import RequestRefused

if TYPE_CHECKING:
    from werkzeug.wrappers import Request, Response

STATIC: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"
PLACE: Final = "{{static}}"  # in the index: the directory of the files
MODULES: Final = "{{modules}}"  # there: the links that load modules ahead
BEGIN: Final = "app.js"
FIRST_PAGE: Final = "overview"

_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_HASH_LENGTH: Final = 16
_IMPORT: Final = re.compile(rb'^import [^"\n]*"(\.[^"\n]+)";$', re.MULTILINE)
# Lines that are nothing but a comment. Licences begin with /*! and stay.
_COMMENT: Final = re.compile(rb"^[ \t]*(?://[^\n]*|/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n", re.MULTILINE)


class Asset(NamedTuple):
    """A file."""

    kind: str
    content: bytes
    zipped: bytes


class Assets:
    """The files of a directory, read once, when the first one is asked for.

    :param directory: no file outside it is ever served
    """

    def __init__(self, directory: Path = STATIC) -> None:
        self._directory = directory
        self._pages: dict[str, Asset] = {}

    @cached_property
    def _files(self) -> dict[str, Asset]:
        return dict(_read(self._directory))

    @cached_property
    def fingerprint(self) -> str:
        """The hash of all files."""
        hashed = hashlib.sha256()
        for name, asset in sorted(self._files.items()):
            hashed.update(f"{name}\0{len(asset.content)}\0".encode())
            hashed.update(asset.content)
        return hashed.hexdigest()[:_HASH_LENGTH]

    def page(self, request: Request) -> Response:
        """The one page, for all addresses of pages."""
        return _response(request, self._page(request.path.rpartition("/")[2] or FIRST_PAGE), "no-cache")

    def _page(self, name: str) -> Asset:
        """The page whose address ends so."""
        if f"pages/{name}.js" not in self._files:  # it says so
            name = FIRST_PAGE
        if name not in self._pages:
            links = (f'<link rel="modulepreload" href="{PLACE}/{each}">' for each in self.modules(name))
            page = self._files[INDEX].content.decode().replace(MODULES, "\n".join(links))
            self._pages[name] = _asset(".html", page.replace(PLACE, f"static/{self.fingerprint}").encode())
        return self._pages[name]

    def modules(self, page: str) -> list[str]:
        """The modules that a page needs, all but the first one, which the index names itself."""
        needed, imported = [BEGIN, f"pages/{page}.js"], set[str]()
        while needed:
            name = needed.pop()
            if name not in imported:
                imported.add(name)
                found = _IMPORT.findall(self._files[name].content)
                needed += (posixpath.normpath(posixpath.join(posixpath.dirname(name), each.decode())) for each in found)
        return sorted(imported - {BEGIN})

    def file(self, request: Request, fingerprint: str, name: str) -> Response:
        """A file, by its place below the directory."""
        asset = self._files.get(name)
        if asset is None or name == INDEX:
            raise RequestRefused(404, "not_found", f"there is no file {name!r}", "load the page again")
        if fingerprint != self.fingerprint:  # of another version: the page is old
            raise RequestRefused(404, "not_found", "the page is of another version", "load the page again")
        return _response(request, asset, "public, max-age=31536000, immutable")


def _read(directory: Path) -> Iterator[tuple[str, Asset]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix in _KINDS:
            content = path.read_bytes()
            if path.suffix == ".js":
                content = _COMMENT.sub(b"", content)
            yield path.relative_to(directory).as_posix(), _asset(path.suffix, content)


def _asset(suffix: str, content: bytes) -> Asset:
    return Asset(_KINDS[suffix], content, gzip.compress(content, 9, mtime=0))


def _response(request: Request, asset: Asset, keep: str) -> Response:
    return packed(request, asset.content, lambda: asset.zipped, asset.kind, keep)


def packed(
    request: Request, content: bytes, zipped: Callable[[], bytes], kind: str, keep: str, status: int = 200
) -> Response:
    """An answer, zipped if the client takes that.

    :param keep: the Cache-Control
    """
    from werkzeug.wrappers import Response

    headers = {"Cache-Control": keep, "Vary": "Accept-Encoding"}
    if request.accept_encodings["gzip"] > 0:
        content = zipped()
        headers["Content-Encoding"] = "gzip"
    return Response(content, status, headers, content_type=kind)
