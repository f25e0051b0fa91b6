"""A dashboard under test: requests to its WSGI application, as browsers and programs send them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from json_schema import SchemaChecker
from werkzeug.test import Client, TestResponse

from gsched.schedulers.base import BaseScheduler
from gsched.web import create_app

OPENAPI = json.loads(files("gsched.web").joinpath("openapi.json").read_text())
CHECKER = SchemaChecker(OPENAPI)
API = "/api/v1"
FROM_PAGE = {"Host": "localhost:8789", "X-Gsched": "1", "Sec-Fetch-Site": "same-origin"}


class WebRig:
    """A dashboard, and a user on this machine. Each JSON answer is compared with the OpenAPI file.

    :param options: of `create_app`
    """

    def __init__(self, scheduler: BaseScheduler, **options: Any) -> None:
        self.app = create_app(scheduler, **options)
        self._client = Client(self.app)

    def request(self, method: str, path: str, *, peer: str = "127.0.0.1", **options: Any) -> TestResponse:
        """The answer to a request that has only the headers that are given."""
        return self._client.open(path, method=method, environ_base={"REMOTE_ADDR": peer}, **options)

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The JSON of an answer to a page of ours."""
        return self._json("GET", path, status, query_string=query, headers=FROM_PAGE)

    def post(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        """The same, of a POST."""
        return self._json("POST", path, status, json=body, headers={**FROM_PAGE, **_named(headers)})

    def patch(self, path: str, body: Any, status: int = 200, query: Any = None, **headers: str) -> Any:
        """The same, of a PATCH."""
        given = {**FROM_PAGE, **_named(headers)}
        return self._json("PATCH", path, status, json=body, query_string=query, headers=given)

    def _json(self, method: str, path: str, status: int, **options: Any) -> Any:
        response = self.request(method, f"{API}/{path}", **options)
        answer = json.loads(response.data)
        assert response.status_code == status, answer
        check_answer(method, path, status, answer)
        return answer

    def job(self, job_id: str) -> Any:
        return self.get("job", id=job_id)

    def close(self) -> None:
        self.app.close()


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def check_answer(method: str, path: str, status: int, answer: Any) -> None:
    """Compare an answer with the OpenAPI file."""
    described = OPENAPI["paths"][f"/{path}"][method.lower()]["responses"]
    response = CHECKER.resolved(described.get(str(status)) or described["default"])
    problems = CHECKER.problems(response["content"]["application/json"]["schema"], answer, path)
    assert not problems, f"describe it in gsched/web/openapi.json: {problems}"
