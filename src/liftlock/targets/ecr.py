"""Repositories of Amazon ECR, made when something is to be pushed that has none.

ECR makes none by itself, unless the account has a creation template for it. Here one is made, in the registry's own
account and by the same identity, the moment the registry says that it has none. Source: Amazon ECR API,
CreateRepository and PutLifecyclePolicy; Amazon ECR Public API, CreateRepository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from liftlock.auth import aws
from liftlock.auth.access import NewRepository
from liftlock.auth.ecr import EcrRegistry, ecr_client
from liftlock.errors import ConfigError, LiftlockError
from liftlock.typed import Any

__all__ = ["create_repository"]

LONGEST_POLICY = 30_720
"""Characters of a lifecycle policy (Amazon ECR service quotas)."""


def create_repository(
    registry: str, repository: str, settings: NewRepository, env: Mapping[str, str], role: str
) -> None:
    """Make a repository with these settings; it is no failure when somebody else has made it meanwhile.

    Raises `ConfigError` for settings that the registry does not know and a lifecycle policy that is none, and what
    `aws.calling` raises: `AccessDenied` names what the identity may not.
    """
    try:
        where = EcrRegistry.parse(registry)
    except ConfigError:
        raise ConfigError(
            f"{registry} has 'create' in the pipeline file, but is no registry of Amazon ECR",
            hint="other registries make repositories by themselves, or do not let them be made",
        ) from None
    if where.is_public:
        _create_public(where, repository, settings, env, role)
        return
    policy = _policy(settings.lifecycle)
    request: dict[str, Any] = {
        "registryId": where.account,
        "repositoryName": repository,
        "imageTagMutability": "IMMUTABLE" if settings.immutable else "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": settings.scan_on_push},
        "tags": _tags(settings.tags),
    }
    if settings.encryption:
        request["encryptionConfiguration"] = _encryption(settings.encryption)
    ecr = _create(where, request, env, role)
    if ecr is None or not policy:
        return
    try:
        with aws.calling(f"{registry}/{repository}", "ecr:PutLifecyclePolicy"):
            ecr.put_lifecycle_policy(registryId=where.account, repositoryName=repository, lifecyclePolicyText=policy)
    except LiftlockError as error:
        error.hint = (
            f"the repository was made, and lacks its lifecycle policy: {error.hint}; then: aws ecr put-lifecycle-policy"
        )
        raise


def _create_public(
    where: EcrRegistry, repository: str, settings: NewRepository, env: Mapping[str, str], role: str
) -> None:
    """``public.ecr.aws/ALIAS/NAME``: the alias is the registry's, and no part of the repository's name."""
    if settings != NewRepository(tags=settings.tags):
        raise ConfigError(
            f"{where.host}: Amazon ECR Public knows no setting of a new repository but its tags",
            hint="leave out immutable, scan-on-push, encryption and lifecycle under 'create'",
        )
    name = repository.partition("/")[2]
    _create(where, {"repositoryName": name, "tags": _tags(settings.tags)}, env, role)


def _create(where: EcrRegistry, request: Mapping[str, Any], env: Mapping[str, str], role: str) -> Any | None:
    """The client that made it; None when somebody else was faster."""
    action = f"{where.service}:CreateRepository"
    place = f"{where.host}/{request['repositoryName']}"
    ecr = ecr_client(where, env, role, action)
    if ecr is None:
        raise aws.no_credentials(place, action)
    with aws.calling(place, action):
        try:
            ecr.create_repository(**{key: value for key, value in request.items() if value != []})
        except ecr.exceptions.RepositoryAlreadyExistsException:
            return None
    return ecr


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _encryption(text: str) -> dict[str, str]:
    if text in ("AES256", "KMS"):
        return {"encryptionType": text}
    return {"encryptionType": "KMS", "kmsKey": text}


def _policy(path: str) -> str:
    """The text of a lifecycle policy; empty without a file. ECR itself says what is wrong with its rules."""
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LONGEST_POLICY + 1)
        if len(text) <= LONGEST_POLICY and isinstance(json.loads(text)["rules"], list):
            return text
    except OSError as error:
        raise ConfigError(f"the lifecycle policy cannot be read: {error.strerror}", path=path) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ConfigError(
        f"it is no lifecycle policy: JSON of at most {LONGEST_POLICY} characters, with a list of rules", path=path
    )
