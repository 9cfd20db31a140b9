"""ECR's passwords: who asks for them, where, how often; and what is said where AWS gives none."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.auth import aws, ecr
from liftlock.auth.access import RegistryAccess
from liftlock.auth.clouds import is_over, provider_of
from liftlock.auth.ecr import EcrRegistry
from liftlock.auth.expiring import Expiring
from liftlock.auth.keychain import Keychain
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, ConfigError, LiftlockError, TransportError
from tests.support.aws import ACCOUNT, REGION, Moto, ecr_host, registry_password
from tests.support.receiver import Receiver, Reply

OTHER = "210987654321"
ROLE = f"arn:aws:iam::{OTHER}:role/push"
SECRETS = ("wJalrXUtnFEMI", "the-session-token", "the-password")


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Passwords of this test alone, kept by a clock that moves when it is told to."""
    clock = Clock()
    monkeypatch.setattr(ecr, "_passwords", Expiring(clock))
    monkeypatch.setattr(ecr, "_clients", Expiring(clock))
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    return clock


@pytest.fixture
def api() -> Iterator[Receiver]:
    """AWS's API as a test words it."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def env(api: Receiver, home: Path) -> dict[str, str]:
    """Somebody with keys, whose API this is."""
    return {
        "HOME": str(home),
        "AWS_ENDPOINT_URL": api.url,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "AWS_SESSION_TOKEN": "the-session-token",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def given_out(password: str = "the-password", *, end: float, public: bool = False) -> Reply:
    """The answer to GetAuthorizationToken, as AWS's documentation shows it."""
    data: Any = {"authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(), "expiresAt": end}
    return Reply(body=json.dumps({"authorizationData": data if public else [data]}).encode())


def refused(code: str, message: str, status: int = 400) -> Reply:
    return Reply(status, json.dumps({"__type": code, "message": message}).encode())


# --- hosts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "account", "region", "endpoint"),
    [
        (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com", ACCOUNT, REGION, "https://api.ecr.eu-west-1.amazonaws.com"),
        (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com:443", ACCOUNT, REGION, "https://api.ecr.eu-west-1.amazonaws.com"),
        (
            f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
            ACCOUNT,
            "cn-north-1",
            "https://api.ecr.cn-north-1.amazonaws.com.cn",
        ),
        (
            f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com",
            ACCOUNT,
            "us-east-1",
            "https://ecr-fips.us-east-1.amazonaws.com",
        ),
        (f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws", ACCOUNT, REGION, "https://ecr.eu-west-1.api.aws"),
        (f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws", ACCOUNT, "us-east-1", "https://ecr-fips.us-east-1.api.aws"),
        ("public.ecr.aws", "", "us-east-1", "https://api.ecr-public.us-east-1.amazonaws.com"),
    ],
)
def test_a_host_says_whose_api_is_asked(
    env: dict[str, str], host: str, account: str, region: str, endpoint: str
) -> None:
    del env["AWS_ENDPOINT_URL"]
    where = EcrRegistry.parse(host)

    assert (where.account, where.region) == (account, region)
    client = ecr.ecr_client(where, env, "", "to see")
    assert client is not None
    assert client.meta.endpoint_url == endpoint
    assert provider_of(host) is not None


@pytest.mark.parametrize("host", ["12345.dkr.ecr.eu-west-1.amazonaws.com", "x.dkr.ecr.eu-west-1.amazonaws.com", "r.io"])
def test_what_is_none_of_ecrs_hosts_is_an_error(host: str) -> None:
    with pytest.raises(ConfigError, match="no registry of Amazon ECR"):
        ecr.credential(host, {}, "")


# --- who asks, and how often -----------------------------------------------------------------------------------------


def test_the_password_is_that_of_whoever_this_environment_is(moto: Moto) -> None:
    found = ecr.credential(ecr_host(), moto.env, "")

    assert found == Credential("AWS", Secret(registry_password()))


def test_a_role_is_assumed_first(moto: Moto) -> None:
    found = Keychain(moto.env, {ecr_host(OTHER): RegistryAccess(role=ROLE)}).find(ecr_host(OTHER), "app")

    assert found == Credential("AWS", Secret(registry_password(OTHER)))


def test_who_is_that_role_already_does_not_assume_it_again(home: Path) -> None:
    """As in a pod with IRSA, or a CI job with web identity: few roles may assume themselves."""
    token = home / "token"
    token.write_text("a.b.c")
    session = object()
    env = {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}

    assert aws.assume(session, ROLE, REGION, env) is session


def test_keys_of_the_process_are_not_those_of_the_environment_that_is_given(
    api: Receiver, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPROCESS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the process")
    profile = home / "keys"
    profile.write_text("[ci]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = of the profile\n")
    api.always(given_out(end=time.time() + 43200))
    env = {
        "HOME": str(home),
        "AWS_ENDPOINT_URL": api.url,
        "AWS_PROFILE": "ci",
        "AWS_SHARED_CREDENTIALS_FILE": str(profile),
    }

    ecr.credential(ecr_host(), env, "")

    assert "Credential=AKIAPROFILE/" in api.requests[0].headers["authorization"]


def test_one_password_serves_all_threads_until_an_hour_before_its_end(
    api: Receiver, env: dict[str, str], clock: Clock
) -> None:
    api.always(given_out(end=clock.now + 12 * 3600))
    found: list[Credential | None] = []
    threads = [threading.Thread(target=lambda: found.append(ecr.credential(ecr_host(), env, ""))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    clock.now += 11 * 3600 - 60
    found.append(ecr.credential(ecr_host(OTHER), env, ""))

    assert found == [Credential("AWS", Secret("the-password"))] * 9
    assert len(api.requests) == 1

    clock.now += 120
    ecr.credential(ecr_host(), env, "")

    assert len(api.requests) == 2


def test_other_regions_roles_and_people_have_passwords_of_their_own(
    api: Receiver, env: dict[str, str], clock: Clock
) -> None:
    api.always(given_out(end=clock.now + 12 * 3600))
    hosts = [ecr_host(), ecr_host(region="eu-central-1"), f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com"]
    for host in hosts:
        ecr.credential(host, env, "")
    ecr.credential(hosts[0], {**env, "AWS_ACCESS_KEY_ID": "AKIAOTHER"}, "")

    scopes = [request.headers["authorization"].split("/")[2] for request in api.requests]
    assert scopes == ["eu-west-1", "eu-central-1", "us-east-1", "eu-west-1"]


def test_a_clock_that_is_wrong_does_not_make_each_request_ask(api: Receiver, env: dict[str, str], clock: Clock) -> None:
    api.always(given_out(end=0))

    for _ in range(3):
        ecr.credential(ecr_host(), env, "")

    assert len(api.requests) == 1
    clock.now += 120
    ecr.credential(ecr_host(), env, "")
    assert len(api.requests) == 2


# --- ECR Public ------------------------------------------------------------------------------------------------------


def test_ecr_public_has_its_own_api(api: Receiver, env: dict[str, str], clock: Clock) -> None:
    api.always(given_out(end=clock.now + 12 * 3600, public=True))

    assert ecr.credential("public.ecr.aws", env, "") == Credential("AWS", Secret("the-password"))
    assert api.requests[0].headers["x-amz-target"] == "SpencerFrontendService.GetAuthorizationToken"
    assert "/us-east-1/ecr-public/" in api.requests[0].headers["authorization"]


def test_who_only_reads_from_ecr_public_needs_no_aws(
    api: Receiver, env: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = {"HOME": str(home)}
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    api.always(refused("AccessDeniedException", "no"))

    def stranger(env: Mapping[str, str]) -> str:
        keychain = Keychain(env)
        assert keychain.find("public.ecr.aws", "acme/app") is None
        return str(keychain.trouble("public.ecr.aws"))

    assert "has no AWS credentials" in stranger(nobody)
    assert "refuses ecr-public:GetAuthorizationToken" in stranger(env)
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    assert "boto3, which is not installed" in stranger({**nobody, "AWS_PROFILE": "x"})


# --- refusals --------------------------------------------------------------------------------------------------------


def failing(env: Mapping[str, str], role: str = "") -> LiftlockError:
    """The error of asking; it names the registry, and holds no secret."""
    with pytest.raises(LiftlockError) as caught:
        ecr.credential(ecr_host(), env, role)
    error = caught.value
    assert ecr_host() in error.message
    assert not any(secret in f"{error} {error.hint}" for secret in SECRETS)
    return error


def test_nobody_is_told_how_to_be_somebody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    error = failing({"HOME": str(home)})

    assert isinstance(error, AccessDenied)
    assert "cannot call ecr:GetAuthorizationToken: this environment has no AWS credentials" in error.message
    assert "AWS_PROFILE" in error.hint


@pytest.mark.parametrize(
    ("reply", "said", "hint"),
    [
        (
            refused("ExpiredTokenException", "The security token included in the request is expired"),
            "AWS refuses ecr:GetAuthorizationToken (ExpiredTokenException: The security token included",
            "the AWS credentials are over",
        ),
        (
            refused("UnrecognizedClientException", "The security token included in the request is invalid."),
            "(UnrecognizedClientException: The security token",
            "not (or no longer) valid",
        ),
        (
            refused(
                "InvalidSignatureException",
                "The Canonical String should have been 'POST x-amz-security-token:the-session-token",
            ),
            "(InvalidSignatureException)",
            "check keys",
        ),
        (
            refused(
                "AccessDeniedException",
                "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:GetAuthorizationToken on "
                "resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action",
            ),
            "user/ci is not authorized to perform: ecr:GetAuthorizationToken",
            "allow ecr:GetAuthorizationToken in the identity's IAM policy",
        ),
    ],
    ids=["expired", "unknown", "signature", "denied"],
)
def test_a_refusal_names_the_action_and_what_to_do(
    api: Receiver, env: dict[str, str], reply: Reply, said: str, hint: str
) -> None:
    api.always(reply)

    error = failing(env)

    assert isinstance(error, AccessDenied)
    assert said in error.message
    assert hint in error.hint


def test_a_role_that_may_not_be_assumed_is_named(api: Receiver, env: dict[str, str]) -> None:
    api.always(
        Reply(
            403,
            b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/ci "
            b"is not authorized to perform: sts:AssumeRole on resource: x</Message></Error></ErrorResponse>",
        )
    )

    error = failing(env, ROLE)

    assert isinstance(error, AccessDenied)
    assert f"as {ROLE}: AWS refuses sts:AssumeRole (AccessDenied: User: arn:aws:iam::1:user/ci" in error.message
    assert "trust policy" in error.hint


def test_what_passes_is_said_to_pass(api: Receiver, env: dict[str, str]) -> None:
    api.always(refused("ThrottlingException", "Rate exceeded"))
    throttled = failing(env)
    api.always(Reply(503))
    down = failing({**env, "AWS_ACCESS_KEY_ID": "AKIAOTHER"})

    assert [throttled.temporary, down.temporary] == [True, True]
    assert "does not do ecr:GetAuthorizationToken now (ThrottlingException: Rate exceeded)" in throttled.message


def test_an_api_that_cannot_be_reached_is_named_without_its_password(env: dict[str, str]) -> None:
    error = failing({**env, "AWS_ENDPOINT_URL": "http://me:the-password@127.0.0.1:9"})

    assert isinstance(error, TransportError)
    assert "127.0.0.1:9" in error.message
    assert "region" in error.hint


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"{}", b'{"authorizationData": []}'])
def test_what_is_not_aws_is_said_to_be_none(api: Receiver, env: dict[str, str], body: bytes) -> None:
    api.always(Reply(body=body))

    error = failing(env)

    assert isinstance(error, TransportError)
    assert "what answers ecr:GetAuthorizationToken" in error.message
    assert "AWS_ENDPOINT_URL" in error.hint


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint: nonsense"),
        ({"AWS_ACCESS_KEY_ID": ""}, "no AWS credentials"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "missing: AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_PROFILE": "nowhere"}, "profile (nowhere) could not be found"),
    ],
    ids=["no URL", "no keys", "half a pair", "no such profile"],
)
def test_broken_settings_are_named(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, more: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    assert said in failing({**env, **more}).message


def test_without_boto3_the_extra_is_named(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)

    assert failing(env).hint == "pip install 'liftlock[aws]'"


# --- what docker login kept ------------------------------------------------------------------------------------------


def kept(expiration: object) -> str:
    """A password of ECR as it is kept: base64 of JSON."""
    document = {"payload": "x", "datakey": "y", "version": "2", "type": "DATA_KEY", "expiration": expiration}
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(("seconds", "asked"), [(-60, True), (3600, False)], ids=["ended", "good"])
def test_a_kept_login_serves_until_its_end(
    api: Receiver, env: dict[str, str], home: Path, seconds: float, asked: bool
) -> None:
    api.always(given_out(end=time.time() + 12 * 3600))
    stored = kept(int(time.time() + seconds))
    (home / ".docker").mkdir()
    auth = base64.b64encode(f"AWS:{stored}".encode()).decode()
    (home / ".docker/config.json").write_text(json.dumps({"auths": {ecr_host(): {"auth": auth}}}))

    found = Keychain(env).find(ecr_host(), "app")

    assert found == Credential("AWS", Secret("the-password" if asked else stored))
    assert len(api.requests) == asked


def test_a_login_that_has_ended_is_named_where_nobody_is_known(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (home / ".docker").mkdir()
    auth = base64.b64encode(f"AWS:{kept(1)}".encode()).decode()
    (home / ".docker/config.json").write_text(json.dumps({"auths": {ecr_host(): {"auth": auth}}}))

    with pytest.raises(AccessDenied, match="no AWS credentials") as caught:
        Keychain({"HOME": str(home)}).find(ecr_host(), "app")

    assert caught.value.hint.startswith("the login that was kept for it has ended: liftlock login")
    assert "AWS_PROFILE" in caught.value.hint


@given(st.text() | st.builds(kept, st.none() | st.text() | st.booleans() | st.integers(10**12, 10**14)))
def test_what_cannot_be_read_is_not_over(password: str) -> None:
    over = is_over(Credential("AWS", Secret(password)), 1.7e9)

    assert not over or json.loads(base64.b64decode(password))["expiration"] <= 1.7e9
    assert not is_over(Credential("ci", Secret(kept(1))), 1.7e9)
