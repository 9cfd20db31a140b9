"""Events of a registry: what is read out of them, and what they cannot say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import ConfigError
from liftlock.oci.digest import Digest
from liftlock.pipeline.load import load
from liftlock.release.arrival import Push, queue_region, read_push, variables_of
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import sources

ACCOUNT = "123456789012"
HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
QUEUE = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/images"


def pipeline(source: str, *, variables: str = "{}", events: str = QUEUE, tag: str = "x") -> Pipeline:
    return load(
        f"pipeline: a\nimages: [web, worker]\nvariables: {variables}\nsource: '{source}'\nevents: {{sqs: '{events}'}}\n"
        f"stages: [{{name: dev, to: 'registry.example/{{image}}', tags: ['{tag}']}}]\n"
    )


def event(**more: Any) -> str:
    """What EventBridge sends, as in the Amazon ECR User Guide."""
    detail = {
        "result": "SUCCESS",
        "repository-name": "staging-web",
        "image-digest": "sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd1234",
        "action-type": "PUSH",
        "image-tag": "2.0",
    }
    document = {
        "version": "0",
        "id": "13cde686-328b-6117-af20-0e5566167482",
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": ACCOUNT,
        "time": "2019-11-16T01:54:34Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail | {name: value for name, value in more.items() if name in detail},
    }
    return json.dumps(document | {name: value for name, value in more.items() if name not in detail})


def push(repository: str = "staging-web", tag: str = "2.0", region: str = "eu-west-1") -> Push:
    return Push(account=ACCOUNT, region=region, repository=repository, tag=tag)


def test_a_push_is_read() -> None:
    assert read_push(event()) == push()


@pytest.mark.parametrize(
    "more", [{"result": "FAILURE"}, {"action-type": "DELETE"}, {"image-tag": ""}], ids=lambda more: next(iter(more))
)
def test_what_is_no_tag_that_was_pushed_is_nothing_to_look_for(more: dict[str, str]) -> None:
    assert read_push(event(**more)) is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"Records": []}',
        event(source="aws.s3"),
        event(**{"detail-type": "ECR Image Scan"}),
        event(detail=None),
        event(**{"repository-name": 5}),
        event(**{"image-tag": "a\nb"}),
        event(region=None),
    ],
)
def test_what_is_no_event_of_ecr_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"no event of Amazon ECR|names no repository"):
        read_push(body)


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_no_body_is_too_odd(body: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        read_push(body)


@pytest.mark.parametrize(
    ("source", "pushed", "found"),
    [
        (HOST + "/staging-{image}:{tag}", push(), {"tag": "2.0"}),
        (HOST + "/staging-{image}:{tag}", push("staging-worker"), {"tag": "2.0"}),
        (HOST + "/staging-{image}:{tag}", push("staging-other"), None),
        (HOST + "/staging-{image}:{tag}", push("prod-web"), None),
        (HOST + "/staging-{image}:{tag}", push(region="us-east-1"), None),
        (HOST + "/{image}:{tag}-{commit}", push("web", "2.0-ab12"), {"tag": "2.0", "commit": "ab12"}),
        (HOST + "/{tag}/{image}:{tag}", push("2.0/web"), {"tag": "2.0"}),
        (HOST + "/{tag}/{image}:{tag}", push("2.1/web"), None),
        (HOST + "/{tag}/{image}:{tag}0", push("2.0/web", "2.00"), {"tag": "2.0"}),
        (HOST + "/{image}:{env}-{tag}", push("web", "blue-2.0"), {"tag": "2.0"}),
        (HOST + "/{image}:{env}-{tag}", push("web", "red-2.0"), None),
        (HOST + "/{image}:latest", push("web", "latest"), {}),
        (HOST + "/{image}:1.0", push("web", "1x0"), None),
        (HOST + "/{team}/{image}:{tag}", push("a" * 252 + "/web"), {"team": "a" * 252, "tag": "2.0"}),
        (HOST + "/{team}/{image}:{tag}", push("a" * 253 + "/web"), None),
        (HOST + "/{image}:{tag}", push("web", "a" * 129), None),
        (f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws/{{image}}:{{tag}}", push("web"), {"tag": "2.0"}),
        ("{account}.dkr.ecr.eu-west-1.amazonaws.com/{image}:{tag}", push("web"), {"tag": "2.0"}),
    ],
)
def test_a_push_says_the_variables_of_the_source(source: str, pushed: Push, found: dict[str, str] | None) -> None:
    variables = f"{{env: blue, account: '{ACCOUNT}'}}"

    assert variables_of(pipeline(source, variables=variables), pushed) == found


@given(st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+){0,3}", fullmatch=True), st.sampled_from(["web", "worker"]))
def test_what_is_read_out_makes_the_same_reference(tag: str, image: str) -> None:
    made = pipeline(HOST + "/staging-{image}:v{tag}")

    found = variables_of(made, push(f"staging-{image}", f"v{tag}"))

    assert found is not None
    assert str(sources(made, variables=found)[image]) == f"{HOST}/staging-{image}:v{tag}"


def test_the_snapshot_keeps_the_queue_and_is_as_it_was_without() -> None:
    made = pipeline(HOST + "/{image}:{tag}")

    assert made.events == QUEUE
    assert Pipeline.parse(made.document, Digest.of(made.document)) == made
    assert b"events" not in load("pipeline: a\nimages: [w]\nstages: [{name: d, to: x/y, tags: [t]}]\n").document


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (QUEUE, "eu-west-1"),
        (f"https://sqs.cn-north-1.amazonaws.com.cn/{ACCOUNT}/a", "cn-north-1"),
        (f"https://sqs.eu-west-1.api.aws/{ACCOUNT}/a", "eu-west-1"),
        (f"{QUEUE}.fifo", "eu-west-1"),
        (QUEUE.replace("https", "http"), ""),
        (f"{QUEUE}/more", ""),
        ("arn:aws:sqs:eu-west-1:123456789012:images", ""),
        (f"https://sqs.eu-west-1.amazonaws.com.evil.example/{ACCOUNT}/a", ""),
    ],
)
def test_a_queue_says_its_region(url: str, region: str) -> None:
    assert queue_region(url) == region


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"source": HOST + "/{image}:{tag}", "events": "https://queue.example/q"}, "is no queue of Amazon SQS"),
        ({"source": "ghcr.io/acme/{image}:{tag}"}, "'ghcr.io' is none of its registries"),
        ({"source": HOST + "/{image}:{tag}", "tag": "{version}"}, "an event cannot say what {version} is"),
    ],
)
def test_what_cannot_work_is_said_with_its_line(written: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pipeline(**written)

    assert said in caught.value.message
    assert caught.value.line == 5


def test_events_need_a_source() -> None:
    with pytest.raises(ConfigError, match="there is no source"):
        load(f"pipeline: a\nimages: [w]\nevents: {{sqs: '{QUEUE}'}}\nstages: [{{name: d, to: x/y, tags: [t]}}]\n")


@pytest.mark.parametrize("key", ["role: 'arn:aws:iam::123456789012:role/x'", "create: true"])
def test_what_only_ecr_can_is_refused_of_others(key: str) -> None:
    text = "pipeline: a\nimages: [w]\nregistries:\n  {host}: {{{key}}}\nstages: [{{name: d, to: x/y, tags: [t]}}]\n"

    with pytest.raises(ConfigError, match="no registry of Amazon ECR") as caught:
        load(text.format(host="ghcr.io", key=key))

    assert caught.value.line == 4
    for host in (HOST, f"{HOST}:443", "public.ecr.aws"):
        assert host in load(text.format(host=f"'{host}'", key=key)).registries
