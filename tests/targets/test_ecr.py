"""ECR's ways: repositories made on demand, immutable tags, throttled manifests, mounts, and its sentences."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from liftlock.auth.access import NewRepository, RegistryAccess
from liftlock.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    CorruptContent,
    LiftlockError,
    NotFound,
    RegistryError,
    Throttled,
)
from liftlock.pipeline.load import load
from liftlock.services.online import check
from liftlock.services.session import Session
from liftlock.targets.ecr import create_repository
from liftlock.targets.registry_errors import MISSING_CONTENT, Answer, failure
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest, Options, Result
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey
from liftlock.transport import retry
from liftlock.transport.messages import Headers
from tests.conftest import MakeFront
from tests.support import faults, images, remote
from tests.support.aws import ACCOUNT, Moto, ecr_host, registry_password
from tests.support.ecr import Ecr
from tests.support.images import Image
from tests.support.receiver import Received, Receiver, Reply
from tests.support.registry import Registry

OTHER = "210987654321"
POLICY = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 9},
            "action": {"type": "expire"},
        }
    ]
}
MADE = RegistryAccess(create=NewRepository())
UPLOADS = r"/blobs/uploads/"

Copy = Callable[..., Result]


@pytest.fixture(scope="module")
def ecr(moto: Moto) -> Iterator[Ecr]:
    """An account's registry; each test has repositories, and rules, of its own."""
    with Ecr(moto) as running:
        yield running


@pytest.fixture
def env(moto: Moto, ecr: Ecr, home: Path) -> dict[str, str]:
    return {**moto.env, "HOME": str(home), "LIFTLOCK_ENDPOINTS": ecr.endpoint}


@pytest.fixture
def copy(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Copies as one operation does; it waits for nothing between its attempts."""
    monkeypatch.setattr(retry, "BASE_SECONDS", 0.0)

    def copy(
        source: str, destination: str, *tags: str, access: RegistryAccess | None = None, more: Mapping[str, str] = {}
    ) -> Result:
        host = destination.partition("/")[0]
        with Session({**env, **more}, registries={host: access} if access else None) as session:
            request = CopyRequest(source, "v1", destination, tags or ("v1",))
            plan = make_plan(survey([request], session.targets, Options(referrers=False)))
            return execute(plan, session.targets, state=str(tmp_path / "state"))

    return copy


@pytest.fixture
def image(tmp_path: Path, repo: str) -> Image:
    return images.make_image(tmp_path / "image", "v1", seed=repo, layers=2)


@pytest.fixture
def made(ecr: Ecr, repo: str) -> str:
    """A repository that exists."""
    ecr.api.create_repository(repositoryName=repo)
    return repo


def failing(copy: Copy, *arguments: str, **options: Any) -> LiftlockError:
    with pytest.raises(LiftlockError) as caught:
        copy(*arguments, **options)
    return caught.value


# --- repositories on demand ------------------------------------------------------------------------------------------


def test_a_missing_repository_is_made_as_the_file_says(
    ecr: Ecr, copy: Copy, image: Image, repo: str, tmp_path: Path
) -> None:
    policy = tmp_path / "lifecycle.json"
    policy.write_text(json.dumps(POLICY))
    key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
    settings = NewRepository(
        immutable=True, scan_on_push=True, encryption=key, lifecycle=str(policy), tags={"team": "web", "cost": "7"}
    )

    copy(f"oci:{image.layout}", f"{ecr.host}/{repo}", access=RegistryAccess(create=settings))

    assert remote.digest_of(ecr.registry, repo, "v1") == image.digest
    found = ecr.repository(repo)
    assert found is not None
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": key}
    tags = ecr.api.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "web", "cost": "7"}
    assert json.loads(ecr.api.get_lifecycle_policy(repositoryName=repo)["lifecyclePolicyText"]) == POLICY


def test_create_true_is_a_repository_with_ecrs_defaults(ecr: Ecr, copy: Copy, image: Image, repo: str) -> None:
    copy(f"oci:{image.layout}", f"{ecr.host}/{repo}", access=MADE)

    found = ecr.repository(repo)
    assert found is not None
    assert (found["imageTagMutability"], found["imageScanningConfiguration"]) == ("MUTABLE", {"scanOnPush": False})
    assert found["encryptionConfiguration"] == {"encryptionType": "AES256"}


def test_a_manifest_whose_blobs_are_there_finds_its_repository_missing(
    ecr: Ecr, copy: Copy, image: Image, repo: str
) -> None:
    """The first write is a mount, refused for the repository; it is made, and the mount asked for again."""
    copy(f"oci:{image.layout}", f"{ecr.host}/{repo}", access=MADE)
    ecr.front.forget()

    copy(f"{ecr.host}/{repo}", f"{ecr.host}/{repo}-prod", access=MADE)

    assert remote.digest_of(ecr.registry, f"{repo}-prod", "v1") == image.digest
    assert ecr.front.count("POST", "mount=", 201) == 3
    assert ecr.front.count("PUT", UPLOADS) == 0


def test_where_it_exists_create_costs_nothing(ecr: Ecr, copy: Copy, image: Image, made: str) -> None:
    other = f"{made}-other"
    third = f"{made}-third"
    for name in (other, third):
        ecr.api.create_repository(repositoryName=name)
    copy(f"oci:{image.layout}", f"{ecr.host}/{third}")  # what can be learnt of the registry is known
    seen = []
    for name, access in ((made, None), (other, MADE)):
        ecr.front.forget()
        copy(f"oci:{image.layout}", f"{ecr.host}/{name}", access=access)
        asked = ecr.front.requests()
        seen.append(
            sorted(f"{each.method} {re.sub('[0-9a-f-]{36}.*', '', each.target)} {each.status}" for each in asked)
        )

    assert seen[0] == [each.replace(other, made) for each in seen[1]]


def test_without_create_the_missing_repository_is_named(ecr: Ecr, copy: Copy, image: Image, repo: str) -> None:
    error = failing(copy, f"oci:{image.layout}", f"{ecr.host}/{repo}")

    assert isinstance(error, NotFound)
    assert f"the repository {repo} does not exist in registry {ecr.host} (404, NAME_UNKNOWN: The rep" in error.message
    assert f"aws ecr create-repository --repository-name {repo}" in error.hint
    assert "create: true" in error.hint
    assert ecr.repository(repo) is None


def test_those_who_make_it_at_the_same_time_all_go_on(ecr: Ecr, copy: Copy, image: Image, repo: str) -> None:
    """Each is an operation of its own, as on several machines; they all see that it is missing."""
    all_there = threading.Barrier(3)
    errors: list[LiftlockError] = []

    def one(tag: str) -> None:
        try:
            all_there.wait()
            copy(f"oci:{image.layout}", f"{ecr.host}/{repo}", tag, access=MADE)
        except LiftlockError as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(f"v{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not errors
    assert {remote.digest_of(ecr.registry, repo, f"v{number}") for number in range(3)} == {image.digest}


def test_it_is_success_when_somebody_else_was_faster(ecr: Ecr, made: str, env: dict[str, str]) -> None:
    create_repository(ecr.host, made, NewRepository(immutable=True), env, "")

    found = ecr.repository(made)
    assert found is not None
    assert found["imageTagMutability"] == "MUTABLE"


def test_it_is_made_in_the_registrys_account_as_the_role(moto: Moto, copy: Copy, image: Image, repo: str) -> None:
    role = f"arn:aws:iam::{OTHER}:role/push"
    with Ecr(moto, OTHER) as other:
        copy(
            f"oci:{image.layout}",
            f"{other.host}/{repo}",
            access=RegistryAccess(role=role, create=NewRepository()),
            more={"LIFTLOCK_ENDPOINTS": other.endpoint},
        )

        found = other.repository(repo)
        assert found is not None
        assert found["registryId"] == OTHER
        assert remote.digest_of(other.registry, repo, "v1") == image.digest


class Api(Receiver):
    """AWS's API, which gives out the double's password, and answers other actions as told."""

    def __init__(self, **replies: Reply) -> None:
        super().__init__()
        self.replies = replies
        self.always(self._reply)

    def actions(self) -> list[str]:
        return [_action(request) for request in self.requests]

    def _reply(self, request: Received) -> Reply:
        action = _action(request)
        if action == "GetAuthorizationToken":
            token = base64.b64encode(f"AWS:{registry_password()}".encode()).decode()
            data = [{"authorizationToken": token, "expiresAt": time.time() + 43200}]
            return Reply(body=json.dumps({"authorizationData": data}).encode())
        return self.replies.get(action, Reply(body=b"{}"))


def _action(request: Received) -> str:
    return request.headers["x-amz-target"].rpartition(".")[2]


def denied(action: str) -> Reply:
    said = f"User: arn:aws:iam::{ACCOUNT}:user/ci is not authorized to perform: {action} on resource: app"
    return Reply(400, json.dumps({"__type": "AccessDeniedException", "message": said}).encode())


def test_who_may_not_make_it_is_told_which_right_is_missing(ecr: Ecr, copy: Copy, image: Image, repo: str) -> None:
    with Api(CreateRepository=denied("ecr:CreateRepository")) as api:
        error = failing(
            copy, f"oci:{image.layout}", f"{ecr.host}/{repo}", access=MADE, more={"AWS_ENDPOINT_URL": api.url}
        )

    assert isinstance(error, AccessDenied)
    assert f"{ecr.host}/{repo}: AWS refuses ecr:CreateRepository (AccessDeniedException: User:" in error.message
    assert error.hint == "allow ecr:CreateRepository in the identity's IAM policy"


def test_a_policy_that_could_not_be_set_is_not_kept_quiet(
    ecr: Ecr, copy: Copy, image: Image, repo: str, tmp_path: Path
) -> None:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    access = RegistryAccess(create=NewRepository(lifecycle=str(tmp_path / "policy.json")))
    with Api(PutLifecyclePolicy=denied("ecr:PutLifecyclePolicy")) as api:
        error = failing(
            copy, f"oci:{image.layout}", f"{ecr.host}/{repo}", access=access, more={"AWS_ENDPOINT_URL": api.url}
        )

    assert "AWS refuses ecr:PutLifecyclePolicy" in error.message
    assert "the repository was made, and lacks its lifecycle policy" in error.hint
    assert "aws ecr put-lifecycle-policy" in error.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "no lifecycle policy"),
        ('{"rules": 1}', "no lifecycle policy"),
        ('{"rules": [], "x": "' + "x" * 40000 + '"}', "no lifecycle policy"),
    ],
    ids=["missing", "no JSON", "no rules", "too long"],
)
def test_a_broken_policy_is_named_before_anything_is_made(
    ecr: Ecr, env: dict[str, str], repo: str, *, text: str | None, said: str
) -> None:
    path = Path(env["HOME"], "policy.json")
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigError, match=said) as caught:
        create_repository(ecr.host, repo, NewRepository(lifecycle=str(path)), env, "")

    assert str(path) in str(caught.value)
    assert ecr.repository(repo) is None


def test_in_ecr_public_the_alias_is_no_part_of_the_name(env: dict[str, str]) -> None:
    with Api() as api:
        public = {**env, "AWS_ENDPOINT_URL": api.url}
        create_repository("public.ecr.aws", "acme/team/app", NewRepository(tags={"team": "web"}), public, "")

        assert api.actions() == ["CreateRepository"]
        assert api.requests[0].json() == {"repositoryName": "team/app", "tags": [{"Key": "team", "Value": "web"}]}
        with pytest.raises(ConfigError, match="knows no setting"):
            create_repository("public.ecr.aws", "acme/app", NewRepository(immutable=True), public, "")


def test_create_is_for_ecr_alone(
    make_front: MakeFront, registry: Registry, copy: Copy, image: Image, repo: str
) -> None:
    front = make_front(registry)
    front.rule("POST", UPLOADS, faults.error(404, "NAME_UNKNOWN"), times=None)

    error = failing(copy, f"oci:{image.layout}", f"{front.host}/{repo}", access=MADE)

    assert isinstance(error, ConfigError)
    assert "is no registry of Amazon ECR" in error.message


def test_an_online_check_makes_nothing(ecr: Ecr, env: dict[str, str], repo: str) -> None:
    """Where it would be made, its absence is no problem; where not, it is one."""
    pipeline = load(f"pipeline: p\nimages: [app]\nstages: [{{name: dev, to: '{ecr.host}/{repo}', tags: [x]}}]\n")
    problems = []
    for access in ({}, {ecr.host: MADE}):
        with Session(env, registries=access) as session:
            problems += [each.problem for each in check(pipeline, session)]

    assert isinstance(problems[0], NotFound)
    assert problems[1] is None
    assert ecr.repository(repo) is None


# --- manifests and tags ----------------------------------------------------------------------------------------------


def test_a_retag_in_one_repository_is_one_put(ecr: Ecr, copy: Copy, image: Image, made: str) -> None:
    copy(f"oci:{image.layout}", f"{ecr.host}/{made}")
    ecr.front.forget()

    copy(f"{ecr.host}/{made}", f"{ecr.host}/{made}", "stable")

    asked = [each.method for each in ecr.front.requests() if each.status != 401]
    assert asked == ["HEAD", "GET", "PUT", "HEAD"] or sorted(asked) == ["GET", "HEAD", "HEAD", "PUT"]
    assert remote.digest_of(ecr.registry, made, "stable") == image.digest


def test_a_throttled_manifest_is_put_again(ecr: Ecr, copy: Copy, image: Image, made: str) -> None:
    answers = (
        faults.error(429, "TOOMANYREQUESTS", "Rate exceeded"),
        faults.respond(429, b'{"message":"Rate exceeded"}'),
        faults.error(400, "ThrottlingException", "Rate exceeded"),
    )
    for number, rule in enumerate(answers, 1):
        _first(ecr, "PUT", rf"/{made}/manifests/", rule, nth=number)

    copy(f"oci:{image.layout}", f"{ecr.host}/{made}")

    puts = ecr.front.find("PUT", rf"/{made}/manifests/")
    assert [each.status for each in puts] == [429, 429, 400, 201]
    assert remote.digest_of(ecr.registry, made, "v1") == image.digest


def test_an_immutable_tag_may_be_set_to_what_it_holds(
    ecr: Ecr, copy: Copy, image: Image, repo: str, tmp_path: Path
) -> None:
    """ECR refuses that too (aws/containers-roadmap#2380): a job that is run again has to succeed all the same."""
    ecr.api.create_repository(repositoryName=repo, imageTagMutability="IMMUTABLE")
    for _ in range(2):
        copy(f"oci:{image.layout}", f"{ecr.host}/{repo}")
    other = images.make_image(tmp_path / "other", "v1", seed=f"other {repo}")

    error = failing(copy, f"oci:{other.layout}", f"{ecr.host}/{repo}")

    assert isinstance(error, Conflict)
    assert "push manifest v1" in error.message
    assert "already exists in the" in error.message
    assert "use a new tag" in error.hint
    assert remote.digest_of(ecr.registry, repo, "v1") == image.digest


def test_a_mount_that_the_account_does_not_allow_becomes_an_upload(
    ecr: Ecr, copy: Copy, image: Image, made: str
) -> None:
    """BLOB_MOUNTING is off unless the account sets it: ECR then answers 202."""
    copy(f"oci:{image.layout}", f"{ecr.host}/{made}")
    other = f"{made}-prod"
    ecr.api.create_repository(repositoryName=other)
    _first(ecr, "POST", rf"/{other}/blobs/uploads/\?.*mount=", faults.refuse_mount(), times=None)
    ecr.front.forget()

    copy(f"{ecr.host}/{made}", f"{ecr.host}/{other}")

    assert ecr.front.count("POST", "mount=", 202) == 3
    assert ecr.front.count("PUT", rf"/{other}/blobs/uploads/", 201) == 3
    assert remote.digest_of(ecr.registry, other, "v1") == image.digest


def test_a_denied_push_shows_what_iam_says(ecr: Ecr, copy: Copy, image: Image, made: str) -> None:
    said = (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/promote/liftlock is not authorized to perform: "
        f"ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/{made} because no "
        "identity-based policy allows the ecr:InitiateLayerUpload action"
    )
    _first(ecr, "POST", rf"/{made}/blobs/uploads/", faults.error(403, "DENIED", said), times=None)

    error = failing(copy, f"oci:{image.layout}", f"{ecr.host}/{made}")

    assert isinstance(error, AccessDenied)
    assert said in error.message
    assert error.hint.startswith("allow ecr:InitiateLayerUpload in the IAM policy")


def _first(ecr: Ecr, method: str, pattern: str, action: Any, *, nth: int = 1, times: int | None = 1) -> None:
    """A rule of this test's repository that goes before the double's own."""
    ecr.front.rule(method, pattern, action, nth=nth, times=times)
    ecr.front._rules.insert(0, ecr.front._rules.pop())


def answer(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, Headers([]), body, f"https://{ecr_host()}/v2/")


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        (
            answer(
                400,
                "MANIFEST_INVALID",
                "The image with digest 'sha256:ab' in repository 'app' and registry ID '1' does not match the image "
                "digest that Amazon ECR has calculated.",
            ),
            CorruptContent,
            "",
        ),
        (
            answer(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."),
            AccessDenied,
            f"liftlock logout {ecr_host()}",
        ),
        (answer(404, "UNKNOWN", "The image is archived"), NotFound, "update-image-storage-class"),
        (answer(404, "MANIFEST_UNKNOWN", "Requested image is archived"), NotFound, "update-image-storage-class"),
        (answer(400, "TooManyRequestsException", "Rate exceeded"), Throttled, ""),
        (answer(404, "NAME_UNKNOWN", "The repository with name 'archived' does not exist"), NotFound, "create: true"),
    ],
    ids=["digest", "ended", "archived", "archived too", "throttled", "no repository"],
)
def test_ecrs_sentences_are_understood(said: Answer, kind: type[LiftlockError], hint: str) -> None:
    error = failure(said, f"{ecr_host()}/app", "push manifest v1")

    assert type(error) is kind
    assert hint in error.hint


@pytest.mark.parametrize(
    "message",
    [
        "Layers with digests '[sha256:ab]' required for pushing image into repository with name 'app' do not exist",
        "Images with digests '[sha256:ab]' required for pushing image into repository with name 'app' do not exist",
    ],
)
@pytest.mark.parametrize("code", ["MANIFEST_BLOB_UNKNOWN", "UNKNOWN"])
def test_content_that_is_missing_has_one_code(code: str, message: str) -> None:
    error = failure(answer(404, code, message), f"{ecr_host()}/app", "push manifest v1")

    assert isinstance(error, RegistryError)
    assert MISSING_CONTENT in error.codes
