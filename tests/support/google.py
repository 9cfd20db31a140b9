"""A double of where Google gives out access tokens, as thin as can be: for a service account's signed assertion, for a
federated token, and on a machine. Each answers with one token; which registry takes it is said to that registry.

Made from https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests (the assertion is
really verified), https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token and
https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.certificates import KeyPair
from tests.support.receiver import Received, Receiver, Reply

ACCOUNT = "promoter@shop.iam.gserviceaccount.com"
_MACHINE = {"Metadata-Flavor": "Google", "Content-Type": "application/json"}


class Google(Receiver):
    """Gives out `token` to who proves to be the account, has the federated token, or asks on the machine."""

    def __init__(self, pair: KeyPair, token: str, *, lifetime: int = 3600, federated: str = "") -> None:
        super().__init__()
        self.pair = pair
        self.token = token
        self.lifetime = lifetime
        self.federated = federated
        self.always(self._answer)

    def service_account(self, file: Path) -> Path:
        """Write the account's key, as the console gives it out, with this double as where tokens are."""
        info = {
            "type": "service_account",
            "project_id": "shop",
            "private_key_id": "1",
            "private_key": self.pair.key.read_text(),
            "client_email": ACCOUNT,
            "token_uri": f"{self.url}/token",
        }
        file.write_text(json.dumps(info))
        return file

    def federation(self, file: Path, subject: Path) -> Path:
        """Write the configuration of a workload identity federation whose token is in the file ``subject``."""
        info = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/github",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.url}/v1/token",
            "credential_source": {"file": str(subject)},
        }
        file.write_text(json.dumps(info))
        return file

    def _answer(self, request: Received) -> Reply:
        if request.method == "GET":
            return self._machine(request)
        if request.path.endswith(":generateAccessToken"):
            return self._impersonated(request)
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if "assertion" in form:
            known = self._signed(form["assertion"])
        elif "refresh_token" in form:
            known = form["refresh_token"] == self.federated
        else:
            known = bool(self.federated) and form.get("subject_token") == self.federated
        if not known:
            return _json(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        return _json(200, self._given())

    def _given(self) -> dict[str, Any]:
        return {
            "access_token": self.token,
            "expires_in": self.lifetime,
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }

    def _impersonated(self, request: Received) -> Reply:
        """https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken."""
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _json(403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "not allowed"}})
        return _json(200, {"accessToken": f"{self.token}-of-another", "expireTime": "2126-01-01T00:00:00Z"})

    def _machine(self, request: Received) -> Reply:
        if request.headers.get("metadata-flavor") != "Google":
            return Reply(403)
        account = "/computeMetadata/v1/instance/service-accounts/default/"
        if request.path == f"{account}token":
            return _json(200, self._given(), _MACHINE)
        if request.path == account:
            return _json(200, {"email": ACCOUNT, "scopes": [], "aliases": ["default"]}, _MACHINE)
        return Reply(404, headers=_MACHINE)

    def _signed(self, assertion: str) -> bool:
        head, claims, signature = (_decoded(part) for part in assertion.split("."))
        said = json.loads(claims)
        key = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        try:
            key.public_key().verify(
                signature, assertion.rpartition(".")[0].encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return False
        return bool(
            json.loads(head)["alg"] == "RS256" and said["iss"] == ACCOUNT and "googleapis.com/auth/" in said["scope"]
        )


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _json(status: int, content: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(content).encode(), headers or {"Content-Type": "application/json"})
