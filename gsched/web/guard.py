"""Refuses requests that no user of ours has meant: foreign names, other sites' pages, users without permission."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from gsched.web.address import is_address, name_in
from gsched.web.refusals import RequestRefused
from gsched.web.users import Authorize, User

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

ANY_HOST: Final = "*"
_SAFE: Final = ("GET", "HEAD")
_OWN_PAGES: Final = ("same-origin", "none")  # the address line of the browser is nobody's page
_LOOK: Final = frozenset({"view"})


class Guard:
    """Decides who may make a request.

    :param authorize: gives the user of a WSGI request, or None
    :param allowed_hosts: names, beside localhost and addresses, that requests may call this server by; "*": any
    :param read_only: nobody may change anything
    """

    def __init__(self, authorize: Authorize, allowed_hosts: Collection[str], read_only: bool) -> None:
        self._authorize = authorize
        self._hosts = {"localhost", *(host.lower() for host in allowed_hosts)}
        self._read_only = read_only

    def check_host(self, request: Request) -> None:
        """Refuse a request for another server: a page in a user's browser may have pointed its own name to this one.

        An address cannot be pointed anywhere.
        """
        name = name_in(request.environ.get("HTTP_HOST", ""))
        if ANY_HOST in self._hosts or name in self._hosts or is_address(name):
            return
        raise RequestRefused(
            421, "host_not_allowed", f"this server is not known by the name {name!r}",
            "name it: --web-hosts, web.hosts in gsched.toml, or create_app(allowed_hosts=[...]); an application that "
            "checks names itself allows '*'",
        )  # fmt: skip

    def check_site(self, request: Request) -> None:
        """Refuse what another site's page has the user's browser do."""
        site = request.headers.get("Sec-Fetch-Site")
        if request.method in _SAFE:
            if site not in (None, *_OWN_PAGES):
                raise _cross_site(f"a page of another site asks (Sec-Fetch-Site: {site})")
            return
        if site is not None and site != "same-origin":
            raise _cross_site(f"a page of another site asks (Sec-Fetch-Site: {site})")
        if site is None and (origin := request.headers.get("Origin")) is not None and not _is_own(origin, request):
            raise _cross_site(f"a page of another site asks (Origin: {origin})")
        if request.mimetype != "application/json":
            raise _cross_site("the body is not declared as JSON", "send Content-Type: application/json")
        if request.headers.get("X-Gsched") != "1":
            raise _cross_site("the header X-Gsched is missing", "send X-Gsched: 1")

    def user_of(self, request: Request) -> User:
        """Who makes the request."""
        user = self._authorize(request.environ)
        if user is None:
            raise RequestRefused(
                401, "unauthenticated", "nobody whom this server knows",
                "send the token (Authorization: Bearer TOKEN, or HTTP Basic with your name), or ask from this machine",
                headers={"WWW-Authenticate": 'Basic realm="gsched", charset="UTF-8"'},
            )  # fmt: skip
        return user

    def permissions(self, user: User) -> frozenset[str]:
        """What the user may do here."""
        return user.may & _LOOK if self._read_only else user.may

    def check_permission(self, user: User, wanted: str) -> None:
        """Refuse what the user may not do."""
        if wanted in self.permissions(user):
            return
        if self._read_only and wanted not in _LOOK:
            raise RequestRefused(403, "read_only", "this server changes nothing", "use the `gsched` command")
        remedy = f"the permission {wanted!r} allows it"
        raise RequestRefused(403, "forbidden", f"{user.name!r} may not {wanted}", remedy)


def _cross_site(message: str, remedy: str = "ask from a page of this server, or from a program") -> RequestRefused:
    return RequestRefused(403, "cross_site", message, remedy)


def _is_own(origin: str, request: Request) -> bool:
    """True if the page is one of this server. Before a proxy that ends TLS, the schemes differ."""
    scheme, _, place = origin.lower().partition("://")
    default = ":443" if scheme == "https" else ":80"
    host = request.environ.get("HTTP_HOST", "").lower()
    return bool(place) and place.removesuffix(default) == host.removesuffix(default)
