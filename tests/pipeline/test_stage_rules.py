"""What a stage may ask for: read whole, expanded, kept as written in the snapshot, and refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from liftlock.errors import ConfigError
from liftlock.pipeline.load import load
from liftlock.release.check import doubts
from liftlock.release.pipeline import Pipeline
from liftlock.release.stage import ApprovalRule, GateRule, NotifyRule, Queue, Sampling, Stage, Trigger
from tests.pipeline.kinds import GATES, NOTIFIERS

GOOD = """\
pipeline: demo-app
images: [web]
groups:
  leads: [lead@example.org, on-call@example.org]
  developers: [dev@example.org, lead@example.org]
defaults:
  queue: supersede
  gates: [{soak: 90s}]
  notify:
    - webhook: {url: https://hooks.example.org/x}
stages:
  - name: dev
    trigger: on-publish
    to: oci:stages/dev
    tags: ["{build}"]
    gates: []
  - name: eu
    after: [dev]
    trigger: on-success
    to: ["eu.example/{image}", "eu-2.example/{image}"]
    tags: ["{build}"]
  - name: us
    after: [dev]
    trigger: {schedule: "0 6 * * 1-5 Europe/Berlin"}
    to: us.example/{image}
    tags: ["{build}"]
  - name: prod
    after: {any: [eu, us]}
    to: prod.example/{image}
    tags: ["{build}"]
    queue: reject
    gates:
      - soak: {for: 1h, while-current: true}
      - http:
          url: env:STATUS_URL
          headers: {Authorization: file:token}
          status: [200, 204]
          retry: {times: 3}
      - labels: {labels: {tested: "yes", level: 3}}
    sampling: {delay: 1m, every: 30s, timeout: 2d}
    approvals:
      from: [leads, developers]
      count: 2
      requester-may-approve: true
      expires: 72h
    override: {from: [leads]}
    rollback: {without: [soak, approvals]}
    freeze: ["fri 16:00 - mon 08:00 Europe/Berlin"]
    notify:
      - webhook: {url: env:HOOK, secret: "file:hook.key"}
        on: [failure, waiting]
        required: true
"""

SNAPSHOT = Path(__file__).parent / "snapshots" / "rules.json"
"""Of this file: releases that have it stay readable, and the file gives the same in every version."""


def read(text: str = GOOD) -> Pipeline:
    return load(text, "liftlock.yaml", GATES, NOTIFIERS)


def changed(old: str, new: str) -> str:
    assert old in GOOD, old
    return GOOD.replace(old, new, 1)


def test_every_rule_that_is_written_is_kept() -> None:
    pipeline = read()
    prod = pipeline.stage("prod")

    assert pipeline.groups["leads"] == ("lead@example.org", "on-call@example.org")
    assert (prod.after, prod.after_any, prod.queue) == (("eu", "us"), True, Queue.REJECT)
    assert prod.gates == (
        GateRule(kind="soak", options={"for": "1h", "while-current": True}),
        GateRule(
            kind="http",
            options={
                "url": "env:STATUS_URL",
                "headers": {"Authorization": "file:token"},
                "status": [200, 204],
                "retry": {"times": 3},
            },
        ),
        GateRule(kind="labels", options={"labels": {"tested": "yes", "level": 3}}),
    )
    assert [gate.line for gate in prod.gates] == [33, 34, 39]
    assert prod.sampling == Sampling(delay=60, every=30, timeout=2 * 86_400)
    assert prod.approvals == ApprovalRule(
        groups=("leads", "developers"), count=2, requester_may_approve=True, expires=72 * 3600
    )
    assert (prod.override, prod.rollback_without) == (("leads",), ("soak", "approvals"))
    assert prod.freeze == ("fri 16:00 - mon 08:00 Europe/Berlin",)
    assert prod.notify == (
        NotifyRule(
            kind="webhook",
            options={"url": "env:HOOK", "secret": "file:hook.key"},
            on=("failure", "waiting"),
            required=True,
        ),
    )
    assert [each.text for each in pipeline.stage("eu").to] == ["eu.example/{image}", "eu-2.example/{image}"]
    triggers = {stage.name: (stage.trigger, stage.schedule) for stage in pipeline.stages}
    assert triggers == {
        "dev": (Trigger.ON_PUBLISH, ""),
        "eu": (Trigger.ON_SUCCESS, ""),
        "us": (Trigger.SCHEDULE, "0 6 * * 1-5 Europe/Berlin"),
        "prod": (Trigger.MANUAL, ""),
    }


def test_a_stage_has_the_defaults_unless_it_says_otherwise() -> None:
    dev, eu = read().stage("dev"), read().stage("eu")

    assert (dev.queue, eu.queue) == (Queue.SUPERSEDE, Queue.SUPERSEDE)
    assert (dev.gates, eu.gates) == ((), (GateRule(kind="soak", options={"for": "90s"}),))
    assert eu.notify == (NotifyRule(kind="webhook", options={"url": "https://hooks.example.org/x"}),)


def test_defaults_may_be_taken_back() -> None:
    text = changed("  queue: supersede\n", "  approvals: {from: [leads]}\n  override: {from: [leads]}\n")
    text = text.replace("    gates: []\n", "    gates: []\n    approvals: none\n    override: none\n")
    stages = {stage.name: stage for stage in read(text).stages}

    assert (stages["dev"].approvals, stages["dev"].override) == (None, ())
    assert (stages["eu"].approvals, stages["eu"].override) == (ApprovalRule(groups=("leads",)), ("leads",))


def test_the_snapshot_says_what_the_stages_say_and_not_where_it_was_written() -> None:
    pipeline = read()
    snapshot = Pipeline.parse(pipeline.document, pipeline.id)
    gates = "gates: [{soak: {for: 90s}}]"

    assert snapshot == pipeline
    assert read(changed("  gates: [{soak: 90s}]\n", f"  {gates}\n")).id == pipeline.id
    expanded = changed("  gates: [{soak: 90s}]\n", "")
    for stage in ("eu", "us"):
        expanded = expanded.replace(f"  - name: {stage}\n", f"  - name: {stage}\n    {gates}\n")
    assert read(expanded).id == pipeline.id
    assert b"defaults" not in pipeline.document


def test_the_snapshot_stays_as_it_is() -> None:
    assert read().document == SNAPSHOT.read_bytes()


def test_what_has_its_default_is_not_in_the_snapshot() -> None:
    stage = Stage.from_json(
        load("pipeline: a\nimages: [w]\nstages: [{name: d, to: 'x/{image}', tags: [t]}]").stages[0].to_json()
    )

    assert set(stage.to_json()) == {"name", "after", "to", "tags"}
    written = "sampling: {delay: 0s, every: 5m, timeout: 14d}, queue: queue, trigger: manual, gates: [], freeze: []"
    text = f"pipeline: a\nimages: [w]\nstages: [{{name: d, to: 'x/{{image}}', tags: [t], {written}}}]"
    assert load(text).stages[0] == stage


def test_on_is_a_key_although_yaml_takes_it_for_true() -> None:
    for key in ("on", '"on"'):
        notify = read(changed("        on: [failure, waiting]", f"        {key}: [success]")).stage("prod").notify
        assert notify[0].on == ("success",)


@pytest.mark.parametrize(
    ("old", "new", "line", "said", "hint"),
    [
        # groups
        ("[dev@example.org, lead", "[lead@example.org, lead", 5, "the person 'lead@example.org' is named twice", ""),
        ("[dev@example.org, ", "[env:PERSON, ", 5, "'env:PERSON' names nobody", ""),
        ("  developers: [dev@example.org, lead@example.org]", "  developers: []", 5, "developers is empty", ""),
        ("  developers:", "  de velopers:", 5, "'de velopers' is not a name", "letters"),
        ("[leads, developers]", "[leads, developer]", 42, "there is no group 'developer'", "'developers'?"),
        ("[leads, developers]", "[leads, leads]", 42, "the group 'leads' is named twice", ""),
        ("override: {from: [leads]}", "override: {from: [ops]}", 46, "there is no group 'ops'", "add it to groups"),
        # approvals
        ("count: 2", "count: 4", 43, "4 persons have to approve, and there are 3 persons in leads, ", "fewer"),
        ("count: 2", "count: 0", 43, "count is 0, and should be at least 1", ""),
        ("count: 2", 'count: "2"', 43, "count is text, and should be a whole number", ""),
        ("count: 2", "count: 2.0", 43, "count is a number or a date to YAML, and should be a whole number", ""),
        ("expires: 72h", "expires: 72 hours", 45, "expires: '72 hours' is no duration", "write 90s, 15m, 2h or 7d"),
        ("expires: 72h", "expires: 0s", 45, "nobody can approve in no time", "72h"),
        ("expires: 72h", "expires: 999w", 45, "'999w' is longer than ten years", ""),
        ("requester-may-approve", "requester_may_approve", 44, "is not a key of an approval rule", "requester-may"),
        ("      from: [leads, developers]\n", "", 41, "from is missing", "an approval rule needs it"),
        # gates
        ("{soak: 90s}", "{soka: 90s}", 8, "there is no gate of the kind 'soka'", "did you mean 'soak'?"),
        ("{soak: 90s}", "{broken: 90s}", 8, "'broken' does not load", "reinstall it"),
        ("{soak: 90s}", "soak", 8, "an item of gates is text, and should be a mapping", "write {soak: …}"),
        ("{soak: 90s}", "{}", 8, "a gate has no kind here", "- {KIND: options}"),
        ("{soak: 90s}", "{soak: 1h, http: {url: x}}", 8, "a gate has one kind, and here are soak, http", "each gate"),
        ("{soak: 90s}", "{soak: 1.5}", 8, "soak is a number or a date to YAML", "in quotes"),
        ("{soak: 90s}", "{soak: long}", 8, "for: 'long' is no duration", "write 90s"),
        ("{soak: 90s}", "{soak: }", 8, "for is missing", "a gate of the kind soak needs it"),
        ("{soak: 90s}", "{labels: yes}", 8, "labels takes a mapping of options", "its keys are labels"),
        ("while-current: true", "while_current: true", 33, "'while_current' is not a key", "'while-current'?"),
        ("while-current: true", 'while-current: "yes"', 33, "while-current is text, and should be true or false", ""),
        ("    - webhook: {url: https://hooks.example.org/x}", "    - webhook:\n      url: x", 11,
         "a notifier has one kind, and here are webhook, url", "each notifier"),
        ("url: env:STATUS_URL", "uri: env:STATUS_URL", 35, "'uri' is not a key of a gate of the kind http", "'url'?"),
        ("{times: 3}", "{times: 10}", 38, "times is 10, and should be at most 9", ""),
        ("{times: 3}", "{tries: 3}", 38, "'tries' is not a key of a gate of the kind http", ""),
        ("retry: {times: 3}", "method: PUT", 38, "method is PUT, and should be GET or POST", ""),
        ("retry: {times: 3}", 'passes: "f(x"', 38, "passes: the expression has an open bracket", ""),
        ("level: 3", "level: 3.5", 39, "level is a number or a date to YAML", "in quotes"),
        ("    gates: []\n", "", 8, "comes after no other, so that there is nowhere to soak", "gates: []"),
        ("{soak: 90s}", "{team: {owner: 7}}", 8, "owner is a number, and should be text", "in quotes"),
        ("{soak: 90s}", "{team: {owner: env:X}}", 8, "owner: 'env:X' is a secret reference", "itself"),
        # sampling
        ("every: 30s", "every: 0s", 40, "gates cannot be asked all the time", "30s"),
        ("delay: 1m", "delay: 3d", 40, "the time is over after 2 d, before the gates are asked", "longer than delay"),
        ("delay: 1m", "dealy: 1m", 40, "'dealy' is not a key of a sampling rule", "'delay'?"),
        # triggers and order
        ("trigger: on-success", "trigger: on_success", 19, "on_success, and should be manual, on-publish or", "'on-s"),
        ("trigger: on-success", "trigger: on-publish", 19, "comes after dev, where what was just", "on-success"),
        ("trigger: on-publish", "trigger: on-success", 13, "the stage 'dev' comes after no other", "after: [STAGE]"),
        ("0 6 * * 1-5 Europe/Berlin", "0 6 * * 1-5", 24, "'0 6 * * 1-5' is no schedule", "time zone"),
        ("0 6 * * 1-5 Europe/Berlin", "0 25 * * * UTC", 24, "bad hour", "cron"),
        ("0 6 * * 1-5 Europe/Berlin", "0 6 * * * Europe/Berln", 24, "'Europe/Berln' is no time zone", "tz database"),
        ("{schedule: ", "{cron: ", 24, "'cron' is not a key of a trigger", "schedule"),
        ("{any: [eu, us]}", "{any: [eu, usa]}", 28, "there is no stage 'usa'", "'us'?"),
        ("{any: [eu, us]}", "{any: []}", 28, "any is empty", ""),
        ("{any: [eu, us]}", "{all: [eu, us]}", 28, "'all' is not a key of a mapping of after", "any"),
        ("queue: reject", "queue: rejected", 31, "rejected, and should be queue, supersede or reject", "'reject'?"),
        # targets
        ('eu-2.example/{image}"]', 'eu.example/{image}"]', 20, "the target 'eu.example/{image}' is named twice", ""),
        ('["eu.example/{image}", "eu-2.example/{image}"]', "[]", 20, "to is empty", ""),
        # freeze and rollback
        ("fri 16:00 - mon 08:00 Europe/Berlin", "friday 16:00", 48, "'friday 16:00' is no freeze window", "fri 16:00"),
        ("fri 16:00 - mon", 'fri 16:00 - fri 16:00 UTC", "mon', 48, "ends when or before it begins", ""),
        ('08:00 Europe/Berlin"]', '08:00 UTC", "mon 07:00 - fri 17:00 UTC"]', 48, "would be frozen all week", "hold"),
        ("[soak, approvals]", "[soak, aprovals]", 47, "a rollback has no condition 'aprovals'", "'approvals'?"),
        ("[soak, approvals]", "[command]", 47, "a rollback has no condition 'command'", "it may go without"),
        # notify
        ("on: [failure, waiting]", "on: [failed]", 51, "an item of on is failed, and should be success,", "'fail"),
        ("on: [failure, waiting]", "on: [failure, failure]", 51, "the occasion 'failure' is named twice", ""),
        ("on: [failure, waiting]", "on: []", 51, "on is empty", ""),
        ("on: [failure, waiting]", "when: [failure]", 51, "a notifier has one kind, and here are webhook, when", ""),
        ("- webhook: {url: env:HOOK", "- webhok: {url: env:HOOK", 50, "no notifier of the kind 'webhok'", "'webhook'?"),
        ("required: true", "required: 1", 52, "required is 1, and should be true or false", ""),
        # secrets
        ('"file:hook.key"', "[swordfish]", 50, "an item of secret is a secret, written out", "write env:NAME"),
        ('"file:hook.key"', "[4711]", 50, "an item of secret is a number, and should be text", "in quotes"),
        ('"file:hook.key"', "04711", 50, "secret is a number or a date to YAML", "in quotes"),
        ("gates: [{soak: 90s}]", "gates: {soak: 90s}", 8, "gates is a mapping, and should be a list", "with a dash"),
        ('"file:hook.key"', "swordfish", 50, "secret is a secret, written out", "write env:NAME or file:PATH"),
        ("https://hooks", "https://me:swordfish@hooks", 10, "url has a password in it", "write env:NAME"),
        ('tested: "yes"', "tested: env:X", 39, "'env:X' is a secret reference, and those are not taken", "itself"),
        ("retry: {times: 3}", "passes: env:X", 38, "is a secret reference", "here url and headers may be one"),
        # defaults
        ("  queue: supersede", "  name: x", 7, "'name' is not a key of the defaults", "trigger"),
        ("  queue: supersede", "  trigger: on-publish", 7, "the stage 'prod' comes after eu, us", ""),
        ("  queue: supersede", "  approvals: {from: [nobody]}", 7, "there is no group 'nobody'", ""),
        ("  queue: supersede", "  approvals: nobody", 7, "approvals is nobody, and should be none", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, line: int, said: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(changed(old, new))
    error = caught.value

    assert (error.path, error.line) == ("liftlock.yaml", line), f"{error} | {error.hint}"
    assert said in error.message
    assert hint in error.hint
    assert "swordfish" not in f"{error} {error.hint}"
    assert "4711" not in f"{error} {error.hint}"


def test_without_kinds_there_are_none() -> None:
    with pytest.raises(ConfigError, match="there is no gate of the kind 'soak'"):
        load(GOOD, notifiers=NOTIFIERS)
    with pytest.raises(ConfigError, match="there is no notifier of the kind 'webhook'"):
        load(GOOD, gates=GATES)


def test_what_surprises_is_doubted_and_not_refused() -> None:
    text = changed("count: 2", "count: 3").replace("requester-may-approve: true", "requester-may-approve: false")

    found = list(doubts(read(text)))
    assert [flaw.place for flaw in found] == [("stages", 3, "approvals", "count")]
    assert "all 3 persons have to approve" in found[0].message
    assert list(doubts(read())) == []


def test_a_soak_that_lasts_longer_than_its_gates_are_asked_is_doubted() -> None:
    found = list(doubts(read(changed("timeout: 2d", "timeout: 50m"))))

    assert [flaw.place for flaw in found] == [("stages", 3, "gates", 0)]
    assert "1h may expire before: its gates are asked for 50 m" in found[0].message


def test_a_variable_without_a_value_in_what_starts_by_itself_is_doubted() -> None:
    text = changed("    to: oci:stages/dev", "    to: oci:stages/{team}")

    assert [flaw.place for flaw in doubts(read(text))] == [("stages", 0, "trigger")]
    assert list(doubts(read(text + "variables: {team: blue}\n"))) == []
    assert list(doubts(read(text.replace("trigger: on-publish", "trigger: manual")))) == []


def test_two_stages_that_move_the_same_tag_are_doubted() -> None:
    """Who may promote to the one would bring an image to the other, past all of its rules."""
    text = changed("to: prod.example/{image}", 'to: ["eu-2.example/{image}", "prod.example/{image}"]')

    (found,) = doubts(read(text))
    assert found.place == ("stages", 3, "tags", 0)
    assert "'eu' and 'prod' move the same tag, eu-2.example/{image}:{build}" in found.message


def test_a_pinned_source_that_is_not_stored_is_doubted() -> None:
    text = "pipeline: a\nimages: [w]\nsource: x.example/w:1\nstages: [{name: d, to: 'x/{image}', tags: [t]}]\n"

    assert [flaw.place for flaw in doubts(load(text))] == [("source",)]
    assert list(doubts(load(text + "store: ./artifacts\n"))) == []


RULES = [
    "trigger", "queue", "gates", "sampling", "approvals", "override", "rollback", "freeze", "notify", "after",
    "schedule", "any", "from", "count", "every", "without", "on", "required", "soak", "http", "webhook", "for", "url",
]  # fmt: skip
WORDS = [
    "on-success", "manual", "0 6 * * * UTC", "reject", "none", "leads", "2h", "fri 16:00 - mon 08:00 UTC", "early",
    "success", "env:X", "https://a:b@c", "soak", "",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(RULES), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=75)
@given(st.dictionaries(st.sampled_from(RULES[:10]), VALUES, max_size=4), st.booleans())
def test_any_rules_are_x(rules: dict[str, object], default: bool) -> None:
    place = {"name": "dev", "to": "a/{image}", "tags": ["x"], "after": ["early"]}
    document: dict[str, object] = {
        "pipeline": "demo",
        "images": ["web"],
        "groups": {"leads": ["ann"]},
        "stages": [{"name": "early", "to": "b/{image}", "tags": ["x"]}, place if default else {**place, **rules}],
    }
    if default:
        document["defaults"] = rules
    try:
        pipeline = read(yaml.safe_dump(document, allow_unicode=True))
    except ConfigError:
        return
    assert Pipeline.parse(pipeline.document, pipeline.id) == pipeline
