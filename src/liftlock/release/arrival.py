"""Events of a registry: which image of a pipeline was pushed, as far as its ``source`` says. Pure.

An event is a hint to look again, and proves nothing: it may come late, twice, out of order, from anybody who may write
to the queue, or not at all. Source: Amazon ECR User Guide, "Sample events from Amazon ECR"
(https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from liftlock.release.names import is_clean
from liftlock.release.pipeline import Pipeline

__all__ = ["Push", "flaws_of_events", "is_ecr", "queue_region", "read_push", "variables_of"]

LONGEST = 512
"""Characters of what an event says."""
LONGEST_REPOSITORY, LONGEST_TAG = 256, 128
"""Characters of ECR's names. A longer one is no name, and would only be long to look at."""

_REGISTRY = re.compile(r"([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)\Z")
_QUEUE = re.compile(
    r"https://sqs[.-]([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)/[0-9]{12}/[A-Za-z0-9_-]{1,80}(?:\.fifo)?\Z"
)
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_./-]*)\}")
_VALUE = "[A-Za-z0-9_./-]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """An image was pushed to ECR, or so it is said."""

    account: str
    region: str
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag} in account {self.account}, {self.region}"


def read_push(body: str) -> Push | None:
    """The push that a message of EventBridge tells of; None for all others: failures, deletions, what has no tag.

    Raises `ValueError` for what is no event of ECR.
    """
    try:
        event = json.loads(body)
        detail, source, kind = event["detail"], event["source"], event["detail-type"]
        said = [event["account"], event["region"], detail["repository-name"], detail.get("image-tag", "")]
        done = (detail["action-type"], detail["result"])
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError):
        raise ValueError("it is no event of Amazon ECR") from None
    if (source, kind) != ("aws.ecr", "ECR Image Action"):
        raise ValueError("it is no event of Amazon ECR about an image")
    if not all(isinstance(each, str) and is_clean(each, LONGEST) for each in said if each != ""):
        raise ValueError("it names no repository")
    account, region, repository, tag = said
    if done != ("PUSH", "SUCCESS") or not tag or not repository:
        return None
    return Push(account=account, region=region, repository=repository, tag=tag)


def variables_of(pipeline: Pipeline, push: Push) -> Mapping[str, str] | None:
    """The values of the source's variables with which an image of the pipeline has this reference; None when none has.

    The file's own variables count as they are; each other one is what stands at its place, the same wherever it stands.
    """
    assert pipeline.source is not None, "events without a source are a flaw"  # noqa: S101
    host, _, rest = pipeline.source.text.partition("/")
    place = _REGISTRY.match(_VARIABLE.sub(lambda match: pipeline.variables.get(match[1], ""), host))
    if place is None or (place[1], place[2]) != (push.account, push.region):
        return None
    if len(push.repository) > LONGEST_REPOSITORY or len(push.tag) > LONGEST_TAG:
        return None
    text = f"{push.repository}:{push.tag}"
    for image in pipeline.images:
        names: list[str] = []
        match = re.fullmatch(_pattern(rest, {**pipeline.variables, "image": image}, names), text)
        if match is not None:
            return dict(zip(names, match.groups(), strict=True))
    return None


def _pattern(text: str, known: Mapping[str, str], names: list[str]) -> str:
    """What the text matches; ``names`` gets the variables of its groups, in their order."""
    pattern, position = "", 0
    for match in _VARIABLE.finditer(text):
        pattern += re.escape(text[position : match.start()])
        position, name = match.end(), match[1]
        if name in known:
            pattern += re.escape(known[name])
        elif name in names:
            pattern += f"(?P=v{names.index(name)})"
        else:
            pattern += f"(?P<v{len(names)}>{_VALUE})"
            names.append(name)
    return pattern + re.escape(text[position:])


def is_ecr(host: str) -> bool:
    """Whether a registry, with or without a port, is one of Amazon ECR."""
    name = host.lower().partition(":")[0]
    return name == "public.ecr.aws" or _REGISTRY.match(name) is not None


def queue_region(url: str) -> str:
    """The region of a queue's URL; empty when it is none of Amazon SQS."""
    match = _QUEUE.match(url)
    return match[1] if match else ""


def flaws_of_events(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """What does not fit together, and a hint, where the pipeline has ``events``."""
    if not pipeline.events:
        return
    if not queue_region(pipeline.events):
        yield f"{pipeline.events!r} is no queue of Amazon SQS", "https://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE"
    if pipeline.source is None:
        yield "events say that something was pushed to the source, and there is no source", "add source: …"
        return
    host = pipeline.source.text.partition("/")[0]
    if not _REGISTRY.match(_VARIABLE.sub(lambda match: pipeline.variables.get(match[1], ""), host)):
        yield f"events are Amazon ECR's, and {host!r} is none of its registries", "ACCOUNT.dkr.ecr.REGION.amazonaws.com"
    told = set(pipeline.source.variables)
    for name in pipeline.undeclared:
        if name not in told:
            yield f"an event cannot say what {{{name}}} is", "use it in source, or give it a value under variables"
