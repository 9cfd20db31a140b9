"""Parameters and secrets from AWS, played by moto; and what is said when they cannot be had."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from liftlock.ci.buildspec.aws import Aws
from liftlock.errors import AccessDenied, ConfigError, NotFound, TransportError
from tests.ci.buildspec.conftest import Build
from tests.support.aws import REGION, Moto
from tests.support.receiver import Receiver, Reply

SPEC = """\
version: 0.2
env:
  parameter-store:
    PASSWORD: /buildspec/password
  secrets-manager:
    TOKEN: buildspec/app:token
phases:
  build:
    commands:
      - test "$PASSWORD" = correct-horse && test "$TOKEN" = t0ken-of-app
      - echo $PASSWORD $TOKEN
"""


@pytest.fixture(scope="module")
def aws(moto: Moto) -> Aws:
    """With what the tests look up. One for all: making a client of AWS takes half a second."""
    moto.client("ssm").put_parameter(Name="/buildspec/password", Value="correct-horse", Type="SecureString")
    secrets = moto.client("secretsmanager")
    secrets.create_secret(Name="buildspec/app", SecretString=json.dumps({"token": "t0ken-of-app", "port": 5432}))
    secrets.put_secret_value(SecretId="buildspec/app", SecretString=json.dumps({"token": "t0ken-of-app", "new": "x"}))
    secrets.create_secret(Name="buildspec/plain", SecretString="no JSON")
    secrets.create_secret(Name="buildspec/binary", SecretBinary=b"\0\1")
    return Aws(environment=moto.env)


def test_a_build_gets_what_aws_has(build: Build, aws: Aws) -> None:
    ran = build(SPEC, lookups=aws)

    assert ran.printed == ["*** ***"]
    assert ran.result.failure is None


@pytest.mark.parametrize(
    ("key", "stage", "value"),
    [
        ("", "AWSPREVIOUS", '{"token": "t0ken-of-app", "port": 5432}'),
        ("port", "AWSPREVIOUS", "5432"),
        ("new", "AWSCURRENT", "x"),
        ("new", "", "x"),
    ],
)
def test_keys_and_stages_of_secrets(key: str, stage: str, value: str, aws: Aws) -> None:
    assert aws.secret("buildspec/app", key, stage, "").reveal() == value


def test_a_secret_by_arn_and_version(aws: Aws, moto: Moto) -> None:
    found = moto.client("secretsmanager").describe_secret(SecretId="buildspec/app")
    version = next(id_ for id_, stages in found["VersionIdsToStages"].items() if stages == ["AWSCURRENT"])

    assert aws.secret(found["ARN"], "new", "", version).reveal() == "x"


def test_a_parameter_that_is_not_there_is_named_with_its_line(build: Build, aws: Aws) -> None:
    with pytest.raises(NotFound) as raised:
        build(SPEC.replace("/buildspec/password", "/buildspec/none"), lookups=aws)

    assert raised.value.message == (
        f"buildspec.yml:4: parameter /buildspec/none: ssm:GetParameters finds none in {REGION} "
        "(for the variable PASSWORD)"
    )


@pytest.mark.parametrize(
    ("id_", "key", "stage", "words"),
    [
        ("none", "", "", "secretsmanager:GetSecretValue finds none"),
        ("buildspec/app", "", "NOSTAGE", "finds no version NOSTAGE of it"),
        ("buildspec/app", "nokey", "", "has no key 'nokey'"),
    ],
)
def test_a_secret_that_is_not_there_is_named(id_: str, key: str, stage: str, words: str, aws: Aws) -> None:
    with pytest.raises(NotFound, match=words):
        aws.secret(id_, key, stage, "")


@pytest.mark.parametrize(
    ("id_", "key", "words"), [("buildspec/plain", "a", "no JSON object"), ("buildspec/binary", "", "binary")]
)
def test_a_secret_of_another_kind_is_said_so(id_: str, key: str, words: str, aws: Aws) -> None:
    with pytest.raises(ConfigError, match=words):
        aws.secret(id_, key, "", "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "ssm:GetParameters (AccessDeniedException: no)"),
        ("ExpiredTokenException", "ssm:GetParameters (ExpiredTokenException: no)"),
    ],
)
def test_a_refusal_names_the_action_and_the_line(code: str, words: str, build: Build, moto: Moto) -> None:
    with Receiver() as receiver:
        receiver.always(Reply(400, json.dumps({"__type": code, "message": "no"}).encode()))
        with pytest.raises(AccessDenied) as raised:
            build(SPEC, lookups=Aws(environment={**moto.env, "AWS_ENDPOINT_URL": receiver.url}))

    assert "buildspec.yml:4: parameter /buildspec/password" in raised.value.message
    assert words in raised.value.message


def test_no_credentials(build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AccessDenied) as raised:
        build(SPEC, lookups=Aws(environment={"HOME": str(tmp_path)}))

    assert "buildspec.yml:4: parameter /buildspec/password: cannot call ssm:GetParameters" in raised.value.message


def test_no_region(aws: Aws, moto: Moto) -> None:
    assert aws.parameter("/buildspec/password")
    env = {name: value for name, value in moto.env.items() if name != "AWS_DEFAULT_REGION"}

    with pytest.raises(ConfigError, match="no region is known"):
        Aws(environment=env).parameter("/buildspec/password")
    assert Aws(environment=env, region=REGION).parameter("/buildspec/password").reveal() == "correct-horse"


def test_aws_does_not_answer(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liftlock.auth.aws.ATTEMPTS", 1)
    with pytest.raises(TransportError, match="ssm:GetParameters"):
        Aws(environment={**moto.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).parameter("/buildspec/password")


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)

    with pytest.raises(ConfigError) as raised:
        Aws(environment={}).parameter("/buildspec/password")
    assert "liftlock[aws]" in raised.value.hint
