"""Who this environment is at AWS, and what AWS's refusals mean.

The identity is found as all of AWS's tools find it: keys in variables, web identity, profiles and SSO, the container's
or the machine's role. Keys, profile, configuration files and endpoints are taken from the ``env`` that is given. The
rest (web identity, container and machine roles, proxies, ``AWS_CA_BUNDLE``) botocore reads from the process's own
environment, which is what every command gives as ``env``.

botocore is imported inside: it takes a fifth of a second. Source: "SDKs and Tools Reference Guide",
https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from liftlock.errors import AccessDenied, ConfigError, LiftlockError, TransportError
from liftlock.typed import Any

__all__ = ["assume", "calling", "client", "find_session", "identity", "no_credentials"]

SESSION_NAME = "liftlock"
"""How our use of a role is called in CloudTrail."""
CONNECT_TIMEOUT, READ_TIMEOUT = 10, 30
"""Seconds. botocore waits for a minute each, which is long when somebody waits for a copy to begin."""
ATTEMPTS = 4
_SHOWN = 400
"""Characters of what AWS said."""

_FILES = (
    ("config_file", "AWS_CONFIG_FILE", "config"),
    ("credentials_file", "AWS_SHARED_CREDENTIALS_FILE", "credentials"),
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"})
_DENIED = ("AccessDenied", "Unauthorized", "NotAuthorized")
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})
_SIGNATURE = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"})
"""What is said with these repeats the request's headers, the session token among them."""

_NO_CREDENTIALS = (
    "give the job a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
    "who one is then: aws sts get-caller-identity"
)


def identity(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """All in an environment that decides who one is at AWS. It holds secrets: for comparing, never for showing."""
    return tuple(sorted((name, value) for name, value in env.items() if name.startswith("AWS_") or name == "HOME"))


def find_session(env: Mapping[str, str]) -> Any | None:
    """A botocore session with this environment's credentials; None when there are none.

    Raises `ConfigError` when botocore is not installed, and botocore's own errors: use it inside of `calling`.
    """
    try:
        from botocore.credentials import EnvProvider
        from botocore.session import Session
    except ImportError:
        raise ConfigError("AWS needs boto3, which is not installed", hint="pip install 'liftlock[aws]'") from None
    keys = EnvProvider(environ=env).load()
    profile = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE")
    session = Session(profile=profile or None)
    for name, variable, file in _FILES:
        path = env.get(variable) or (f"{env['HOME']}/.aws/{file}" if env.get("HOME") else "")
        if path:
            session.set_config_variable(name, path)
    if keys is not None:
        frozen = keys.get_frozen_credentials()
        session.set_credentials(frozen.access_key, frozen.secret_key, frozen.token)
    else:
        session.get_component("credential_provider").remove("env")  # those of the process are not those of `env`
    return session if session.get_credentials() is not None else None


def assume(session: Any, role: str, region: str, env: Mapping[str, str]) -> Any:
    """A session as this role (its ARN), for an hour."""
    if env.get("AWS_ROLE_ARN") == role and env.get("AWS_WEB_IDENTITY_TOKEN_FILE") and not env.get("AWS_ACCESS_KEY_ID"):
        return session  # that is who it is already, and few roles may assume themselves
    answer = client(session, "sts", region, env).assume_role(RoleArn=role, RoleSessionName=SESSION_NAME)
    given = answer["Credentials"]
    from botocore.session import Session

    assumed = Session()
    assumed.set_credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    return assumed


def client(
    session: Any, service: str, region: str, env: Mapping[str, str], *, fips: bool = False, dual_stack: bool = False
) -> Any:
    """A client of a service; ``AWS_ENDPOINT_URL`` and ``AWS_ENDPOINT_URL_SERVICE`` say where else it may be."""
    from botocore.config import Config

    own = f"AWS_ENDPOINT_URL_{service.replace('-', '_').upper()}"
    endpoint = env.get(own) or env.get("AWS_ENDPOINT_URL") or None
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # An endpoint of one's own has no variants.
        use_fips_endpoint=(fips and not endpoint) or None,
        use_dualstack_endpoint=(dual_stack and not endpoint) or None,
    )
    return session.create_client(service, region_name=region, endpoint_url=endpoint, config=config)


@contextmanager
def calling(place: str, action: str) -> Iterator[None]:
    """What botocore raises inside becomes an error that names ``place`` (a registry) and ``action`` (``ecr:…``).

    Raises `AccessDenied` when AWS refuses this identity, or it has none; `ConfigError` for a broken configuration;
    `TransportError` when AWS does not answer, or asks for patience.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
    except ImportError:
        raise ConfigError(
            f"{place}: AWS needs boto3, which is not installed", hint="pip install 'liftlock[aws]'"
        ) from None
    try:
        yield
    except ClientError as error:
        raise _refusal(error.response, place, action) from None
    except BotoCoreError as error:
        raise _failure(error, place, action) from None
    except ResponseParserError:
        raise TransportError(
            f"{place}: what answers {action} is not AWS", hint="check AWS_ENDPOINT_URL, and the proxies"
        ) from None
    except ValueError as error:  # an endpoint that is no URL
        raise ConfigError(f"{place}: cannot call {action}: {_line(error)}", hint="check AWS_ENDPOINT_URL") from None
    except OSError as error:  # a web identity's token file
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        raise ConfigError(f"{place}: cannot call {action}: the AWS credentials cannot be read: {what}") from None


def no_credentials(place: str, action: str) -> AccessDenied:
    """The error where nobody is known."""
    return AccessDenied(f"{place}: cannot call {action}: this environment has no AWS credentials", hint=_NO_CREDENTIALS)


def _refusal(response: Mapping[str, Any], place: str, action: str) -> LiftlockError:
    said = response.get("Error", {})
    code = str(said.get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = "" if code in _SIGNATURE else _line(said.get("Message", ""))
    message = f"{place}: AWS refuses {action} ({code}{f': {text}' if text else ''})"
    if code in _THROTTLED or status >= 500:
        return TransportError(f"{place}: AWS does not do {action} now ({code}{f': {text}' if text else ''})")
    if code in _EXPIRED:
        return AccessDenied(message, hint="the AWS credentials are over: get new ones (aws sso login, a new session)")
    if code in _UNKNOWN | _SIGNATURE:
        return AccessDenied(
            message, hint="the AWS credentials are not (or no longer) valid: check keys, session token and region"
        )
    if code.startswith(_DENIED) or status == 403:
        return AccessDenied(message, hint=_permission_hint(action))
    return ConfigError(message)


def _permission_hint(action: str) -> str:
    if action == "sts:AssumeRole":
        return "its trust policy has to name this identity, whose own policy has to allow sts:AssumeRole on it"
    return f"allow {action} in the identity's IAM policy"


def _failure(error: Exception, place: str, action: str) -> LiftlockError:
    from botocore import exceptions as known

    what = f"{place}: cannot call {action}"
    said = _line(error)
    if isinstance(error, known.NoCredentialsError):
        return no_credentials(place, action)
    if isinstance(error, known.EndpointConnectionError):
        hint = "is there such a region, and a way to it? AWS_ENDPOINT_URL and proxies count"
        return TransportError(f"{what}: {said}", hint=hint)
    if isinstance(error, known.HTTPClientError):
        return TransportError(f"{what}: {said}")
    if isinstance(error, known.SSOError | known.TokenRetrievalError):
        return AccessDenied(f"{what}: {said}", hint="aws sso login")
    if isinstance(error, known.CredentialRetrievalError):
        # Not its words: they are what a program of the user's printed.
        source = _line(getattr(error, "kwargs", {}).get("provider", "their source"))
        return AccessDenied(
            f"{what}: the AWS credentials could not be had from {source}", hint="try: aws sts get-caller-identity"
        )
    return ConfigError(f"{what}: {said}", hint="try: aws sts get-caller-identity")


def _line(said: object) -> str:
    """The first line of what was said, as it may be shown; a URL without a password."""
    text = str(said).strip().partition("\n")[0][:_SHOWN]
    text = re.sub(r"//[^/@\s]+@", "//", text)
    return "".join(each if each.isprintable() else "?" for each in text)
