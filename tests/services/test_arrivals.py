"""A push to ECR starts what follows: EventBridge and SQS as moto plays them, workers as they are.

moto's ECR sends no events: the tests put them on the bus, as ECR would.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import ConfigError
from liftlock.release.arrival import Push
from liftlock.services import arrivals
from liftlock.services.arrivals import Arrivals, look_again
from liftlock.services.project import Project
from liftlock.services.releases import page
from liftlock.services.session import Session
from liftlock.services.work import work
from liftlock.transfer.events import Cancel
from tests.conftest import MakeFront
from tests.support import faults, images, remote
from tests.support.aws import ACCOUNT, REGION, Moto, ecr_host
from tests.support.images import Image
from tests.support.processes import liftlock, started
from tests.support.registry import Registry
from tests.support.waiting import until

PIPELINE = """\
pipeline: shop
images: [web, worker]
source: {host}/{prefix}/staging-{{image}}:{source}
events: {{sqs: "{queue}"}}
stages:
  - name: dev
    to: {host}/{prefix}/dev-{{image}}
    tags: ["{tag}"]
{more}"""
ON_PUBLISH = "    trigger: on-publish\n"


Clients = tuple[Any, Any]


class Shop:
    """A pipeline whose images are pushed to ECR's name, and its queue."""

    def __init__(self, moto: Moto, clients: Clients, registry: Registry, prefix: str, folder: Path) -> None:
        self.registry, self.prefix, self.folder = registry, prefix, folder
        self.env = {**moto.env, "LIFTLOCK_ENDPOINTS": f"{ecr_host()}={registry.url}", "HOME": str(folder)}
        self.sqs, self.bus = clients
        name = f"images-{prefix}"
        # So short that what a killed worker had taken is soon there again.
        self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})
        self.queue = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
        self.rule(name)
        self.write()

    def rule(self, name: str) -> None:
        """From the bus to the queue. moto's own events lack the account: it is added as EventBridge has it."""
        names = {"account": "$.account", "region": "$.region", "source": "$.source", "kind": "$.detail-type"}
        template = (
            '{"account":"<account>","region":"<region>","source":"<source>","detail-type":"<kind>","detail":<detail>}'
        )
        pattern = {"source": ["aws.ecr"], "detail": {"repository-name": [{"prefix": f"{self.prefix}/"}]}}
        self.bus.put_rule(Name=name, EventPattern=json.dumps(pattern))
        transformer = {"InputPathsMap": {**names, "detail": "$.detail"}, "InputTemplate": template}
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        self.bus.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn, "InputTransformer": transformer}])

    def write(self, source: str = "{tag}", tag: str = "{tag}", more: str = ON_PUBLISH) -> None:
        text = PIPELINE.format(host=ecr_host(), prefix=self.prefix, queue=self.queue, source=source, tag=tag, more=more)
        (self.folder / "liftlock.yaml").write_text(text)

    def push(self, image: Image, name: str, tag: str) -> None:
        """What a build does, and then ECR: the image, and its event."""
        remote.push(image.layout, image.tag, self.registry, f"{self.prefix}/staging-{name}", to=tag)
        self.tell(f"{self.prefix}/staging-{name}", tag)

    def tell(self, repository: str, tag: str) -> None:
        detail = {"result": "SUCCESS", "repository-name": repository, "action-type": "PUSH", "image-tag": tag}
        entry = {"Source": "aws.ecr", "DetailType": "ECR Image Action", "Detail": json.dumps(detail)}
        assert self.bus.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def left(self) -> int:
        """How many messages are in the queue, or were taken and not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def digests(self, tag: str) -> dict[str, str | None]:
        """What dev holds."""
        return {name: remote.digest_of(self.registry, f"{self.prefix}/dev-{name}", tag) for name in ("web", "worker")}

    def project(self, **more: str) -> Project:
        return Project(str(self.folder / "liftlock.yaml"), env={**self.env, **more})

    def drain(self, **more: str) -> None:
        """Handle what is in the queue, in this process."""
        with self.project(**more) as project:
            Arrivals(project, lambda _: Session(project.env)).drain()

    def promotions(self) -> int:
        with self.project() as project, project.home.store.read() as tx:
            return len(tx.promotions.history("shop"))

    def releases(self) -> int:
        with self.project() as project:
            return len(page(project, 10)[0])


@pytest.fixture(scope="module")
def clients(moto: Moto) -> Clients:
    """SQS and EventBridge; boto3 takes its time to make them."""
    return moto.client("sqs"), moto.client("events")


@pytest.fixture
def shop(moto: Moto, clients: Clients, *, registry: Registry, repo: str, tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(moto, clients, registry, repo.partition("/")[0], folder)


@pytest.fixture
def built(tmp_path: Path, repo: str) -> dict[str, Image]:
    return {
        name: images.make_image(tmp_path / name, "b", seed=f"{repo} {name}", layers=1) for name in ("web", "worker")
    }


def said(process: Any) -> str:
    assert process.stderr is not None
    return str(process.stderr.read().decode())


def test_when_the_last_image_has_come_dev_gets_them_all(shop: Shop, built: dict[str, Image]) -> None:
    with started("worker", cwd=shop.folder, env=shop.env) as process:
        shop.push(built["web"], "web", "2.0")
        until(lambda: shop.left() == 0, "the first event to be handled", seconds=40)
        assert shop.digests("2.0") == {"web": None, "worker": None}

        shop.push(built["worker"], "worker", "2.0")
        wanted = {name: image.digest for name, image in built.items()}
        until(lambda: shop.digests("2.0") == wanted, "both images in dev", seconds=40)

        until(lambda: shop.left() == 0, "the second event to be handled", seconds=40)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        log = said(process)

    assert shop.promotions() == 1
    assert f"events: {shop.prefix}/staging-web:2.0 in account {ACCOUNT}, {REGION}: worker did not come yet" in log
    assert len(re.findall(r"release \S+, asked for in dev", log)) == 1


@pytest.mark.slow
@pytest.mark.crash
def test_what_a_killed_worker_had_taken_is_handled_once(
    shop: Shop, built: dict[str, Image], registry: Registry, make_front: MakeFront
) -> None:
    """It is killed between receiving and deleting, while it asks the registry."""
    front = make_front(registry)
    stall = faults.Stall()
    asked = front.rule(None, r"/staging-\w+/manifests/", stall, times=None)
    for name, image in built.items():
        shop.push(image, name, "2.0")
    env = {**shop.env, "LIFTLOCK_ENDPOINTS": f"{ecr_host()}={front.url}"}
    with started("worker", cwd=shop.folder, env=env) as process:
        asked.wait()
        process.kill()
        process.wait()
    stall.release()
    assert shop.left() == 2
    assert shop.promotions() == 0

    with started("worker", cwd=shop.folder, env=env) as process:
        until(lambda: shop.left() == 0, "the messages to be handled", seconds=40)
        wanted = {name: image.digest for name, image in built.items()}
        until(lambda: shop.digests("2.0") == wanted, "both images in dev", seconds=40)

    assert shop.promotions() == 1


def test_until_idle_handles_what_is_there_and_drops_what_is_nothing(shop: Shop, built: dict[str, Image]) -> None:
    for name, image in built.items():
        shop.push(image, name, "2.0")
    shop.tell(f"{shop.prefix}/elsewhere", "2.0")
    for body in ("no JSON", '{"Records": []}', '{"source": "aws.ecr", "detail": 5}'):
        shop.send(body)

    done = liftlock("worker", "--until-idle", cwd=shop.folder, env=shop.env)

    assert shop.left() == 0
    assert shop.digests("2.0") == {name: image.digest for name, image in built.items()}
    assert shop.promotions() == 1
    assert done.err.count("a message is dropped: it is no event of Amazon ECR") == 3
    assert "elsewhere:2.0 in account 123456789012, eu-west-1: it is nothing of this pipeline's source" in done.err


def test_a_registry_that_does_not_answer_has_it_delivered_again(shop: Shop, built: dict[str, Image]) -> None:
    for name, image in built.items():
        shop.push(image, name, "2.0")

    shop.drain(LIFTLOCK_ENDPOINTS=f"{ecr_host()}=http://127.0.0.1:9", LIFTLOCK_ATTEMPTS="1")

    assert shop.left() == 2
    assert shop.releases() == 0


def test_without_on_publish_a_release_is_made_and_waits(shop: Shop, built: dict[str, Image]) -> None:
    shop.write(more="")
    for name, image in built.items():
        shop.push(image, name, "2.0")

    shop.drain()

    assert (shop.left(), shop.releases(), shop.promotions()) == (0, 1, 0)

    shop.tell(f"{shop.prefix}/staging-web", "2.0")  # once more: events are delivered at least once
    shop.drain()

    assert (shop.left(), shop.releases()) == (0, 1)


def test_a_build_that_means_other_digests_now_is_refused_and_not_asked_for_again(
    shop: Shop, built: dict[str, Image], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write(source="{build}", tag="{build}")
    for name, image in built.items():
        shop.push(image, name, "77")
    shop.drain()
    other = images.make_image(tmp_path / "other", "b", seed="another", layers=1)
    shop.push(other, "web", "77")

    shop.drain()

    assert (shop.left(), shop.releases(), shop.promotions()) == (0, 1, 1)
    assert "77" in caplog.text
    assert shop.digests("77") == {"web": None, "worker": None}


def test_values_that_make_no_reference_are_dropped(shop: Shop) -> None:
    shop.write(source="x-{build}", tag="{build}")
    push = Push(account=ACCOUNT, region=REGION, repository=f"{shop.prefix}/staging-web", tag="x-" + "a/b")
    with shop.project() as project, Session(shop.env) as session:
        assert "it makes no reference" in look_again(project, session, push)


def test_a_worker_that_takes_no_promotions_leaves_the_queue_alone(shop: Shop, built: dict[str, Image]) -> None:
    shop.push(built["web"], "web", "2.0")

    with shop.project() as project:
        work(project, lambda _: Session(project.env), only=["notify"], until_idle=True, cancel=Cancel())

    assert shop.left() == 1


@pytest.mark.parametrize(
    ("module", "change", "hint"),
    [("botocore.exceptions", {}, "pip install 'liftlock[aws]'"), ("none", {"AWS_PROFILE": "nowhere"}, "aws sts")],
    ids=["no boto3", "no such profile"],
)
def test_a_worker_that_cannot_listen_does_not_begin(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, module: str, change: dict[str, str], hint: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""} if change else {}

    with shop.project(**change, **keys) as project, pytest.raises(ConfigError) as caught:
        work(project, lambda _: Session(project.env), cancel=Cancel())

    assert hint in caught.value.hint


def test_a_queue_that_does_not_answer_is_logged_and_asked_again(
    shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "AGAIN", 0.01)
    shop.queue = f"{shop.queue}-gone"
    shop.write()

    with shop.project() as project, Arrivals(project, lambda _: Session(project.env)):
        until(lambda: caplog.text.count("AWS refuses sqs:ReceiveMessage") >= 2, "it to be asked twice")

    assert f"{shop.queue}: AWS refuses" in caplog.text
    assert "NonExistentQueue" in caplog.text
