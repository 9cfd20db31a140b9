"""Opening an object store with the credentials of an environment: Amazon S3, Azure Blob Storage, Google Cloud Storage.

The client is obstore, with its own chain of credentials: what the environment says first, then what the machine is
given by its cloud (roles of instances, containers and pods, managed identities, application default credentials). Only
these variables are taken from the environment, so that a misspelt one is not half understood.
"""

from __future__ import annotations

from collections.abc import Mapping

from liftlock.errors import ConfigError
from liftlock.oci.bucket import SERVICES, BucketName
from liftlock.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["open_bucket"]

_EXTRAS = {"s3": "aws", "az": "azure", "gs": "gcp"}

_S3 = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_METADATA_ENDPOINT",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_KMS_KEY_ID",
    "AWS_SSE_BUCKET_KEY_ENABLED",
)
_AZURE = (
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_USE_AZURE_CLI",
)
_GOOGLE = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY")

_SAME = {"AZURE_TENANT_ID": "azure_storage_tenant_id"}
"""Variables of the cloud's own tools that obstore knows by another name."""


def open_bucket(name: BucketName, env: Mapping[str, str]) -> ObjectStore:
    """The store of this name; nothing is asked of it yet.

    Raises `ConfigError` when the library is not installed, or the environment lacks what every call would need.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise ConfigError(
            f"{name}: what speaks to {SERVICES[name.scheme]} is not installed",
            hint=f"pip install 'liftlock[{_EXTRAS[name.scheme]}]'",
        ) from None
    if name.scheme == "az" and not env.get("AZURE_STORAGE_ACCOUNT_NAME"):
        raise ConfigError(
            f"{name}: it is not known whose container this is",
            hint="set AZURE_STORAGE_ACCOUNT_NAME to the storage account",
        )
    opener: Any = {"s3": S3Store, "az": AzureStore, "gs": GCSStore}[name.scheme]
    variables = {"s3": _S3, "az": _AZURE, "gs": _GOOGLE}[name.scheme]
    config = {_SAME.get(key, key.lower()): env[key] for key in variables if env.get(key)}
    more: dict[str, Any] = {}
    if name.scheme == "s3":
        if "aws_endpoint_url_s3" in config:
            config["aws_endpoint_url"] = config.pop("aws_endpoint_url_s3")
        if env.get("AWS_PROFILE") and "aws_access_key_id" not in config:
            more["credential_provider"] = _profile(name, env["AWS_PROFILE"])
    try:
        return opener(  # type: ignore[no-any-return]
            name.bucket,
            prefix=name.prefix or None,
            config=config,
            client_options={
                # Only who names such an endpoint speaks plain HTTP: a test, or a store on this very machine.
                "allow_http": any(value.startswith("http://") for value in config.values()),
                "connect_timeout": "10s",
                "read_timeout": "60s",
                "timeout": "15m",
            },
            retry_config={"max_retries": 5},
            **more,
        )
    except (BaseError, ValueError):
        # What the library says may show what it was given.
        raise ConfigError(
            f"{name}: the environment's credentials for {SERVICES[name.scheme]} cannot be used",
            hint=f"check {', '.join(sorted(key for key in variables if env.get(key)))}",
        ) from None


def _profile(name: BucketName, profile: str) -> Any:
    """Credentials of a profile of the AWS tools, which may assume a role or come from a sign-in."""
    try:
        from boto3.session import Session
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise ConfigError(
            f"{name}: what reads AWS profiles is not installed", hint="pip install 'liftlock[aws]'"
        ) from None
    try:
        return Boto3CredentialProvider(Session(profile_name=profile))
    except (BotoCoreError, ValueError):
        raise ConfigError(
            f"{name}: the AWS profile {profile!r} gives no credentials", hint="check AWS_PROFILE, or: aws sso login"
        ) from None
