"""No password and no token is ever written: not to the terminal, not to any file, whatever happens."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import faults, images
from tests.support.processes import Result

pytestmark = [pytest.mark.acceptance, pytest.mark.fault]

USER = "lift-user"
PASSWORD = "pa55-NeverToBeSeen%/+x"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

PIPELINE = """\
    pipeline: demo
    images: [web]
    source: {host}/{repo}:v
    stages:
      - name: prod
        to: {host}/{repo}-prod
        tags: [stable]
"""


class Search:
    """Looks for secrets in everything that was said, and in every file below some folders."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._said: list[Result] = []
        self.secrets = {PASSWORD, BASIC}

    def add(self, result: Result) -> Result:
        self._said.append(result)
        return result

    def found(self) -> list[str]:
        return [
            f"{secret[:12]}… in {where}" for where, text in self._texts() for secret in self.secrets if secret in text
        ]

    def _texts(self) -> Iterator[tuple[str, str]]:
        for result in self._said:
            yield " ".join(result.arguments), result.out + result.err
        for folder in self._folders:
            for file in folder.rglob("*"):
                if file.is_file():
                    yield str(file), file.read_bytes().decode(errors="replace")


def test_secrets_stay_secret(
    *,
    tmp_path: Path,
    home: Path,
    repo: str,
    make_registry: MakeRegistry,
    make_token_server: MakeTokenServer,
    make_front: MakeFront,
) -> None:
    tokens = make_token_server(user=USER, password=PASSWORD)
    front = make_front(make_registry(token=tokens))
    images.make_image(tmp_path / "build", "v")
    workshop = Workshop(tmp_path / "project", PIPELINE.format(host=front.host, repo=repo))
    env = {"LIFTLOCK_REGISTRY": front.host, "LIFTLOCK_USERNAME": USER, "LIFTLOCK_PASSWORD": PASSWORD}
    search = Search(workshop.folder, home)

    def run(*words: str, code: int = 0) -> None:
        result = search.add(workshop.run(*words, "-v", "--debug", check=False, env=env))
        assert result.code == code, str(result)
        for request in front.requests():
            search.secrets.update(filter(None, [(request.authorization or "").partition(" ")[2]]))

    promote = ("promote", "--to", "prod")
    run("copy", f"oci:{tmp_path / 'build'}:v", f"{front.host}/{repo}:v")
    run(*promote)
    run(*promote, "-o", "json")
    run("artifact", "publish", f"web={front.host}/{repo}:v", "--build", "42")
    run("trace", f"{front.host}/{repo}:v")
    # Answers that show the request itself, as careless proxies give them; in the message, and in the code.
    bearer = next(secret for secret in search.secrets if secret.startswith("eyJ"))
    for text in [
        ("DENIED", f"Authorization: Bearer {bearer}"),
        ("DENIED", f"you sent: Authorization: Basic {BASIC}, which is not allowed"),
        (f"Basic {BASIC}", ""),
        (bearer, bearer),
    ]:
        front.rule("GET", "/manifests/", faults.error(403, *text), times=None)
        run(*promote, "-o", "json", code=4)
        front.clear()
    tokens.answer_always(401, body=f'{{"details": "{PASSWORD}"}}'.encode())
    run(*promote, code=4)

    assert len(search.secrets) > 2, "tokens were seen on the wire"
    assert search.found() == []
