"""A pipeline file says what it says, and what is wrong with it is said with file, line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from liftlock.errors import ConfigError, NotFound
from liftlock.pipeline.load import load, read
from liftlock.pipeline.model import NOT_YET
from liftlock.release.pipeline import Pipeline, RegistryOptions

GOOD = """\
pipeline: demo-app
images: [web, worker]
store: ./artifacts
source: registry.example/staging-{image}:{tag}
registries:
  registry.internal:5000:
    plain-http: true
  registry.example: {ca-file: certs/ca.pem}
variables:
  team: blue
stages:
  - name: dev
    trigger: manual
    to: registry.internal:5000/{team}-{image}
    tags: ["{build}", latest]
  - name: test
    after: [dev]
    to: oci:stages/test
    tags: ["{image}-{build}"]
"""


def wrong(old: str, new: str) -> ConfigError:
    """The error of the good file after one change."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace(old, new, 1), "liftlock.yaml")
    assert caught.value.path == "liftlock.yaml"
    assert str(caught.value).startswith(f"liftlock.yaml:{caught.value.line}: ")
    return caught.value


def test_everything_that_is_written_is_kept() -> None:
    pipeline = load(GOOD, "liftlock.yaml")

    assert (pipeline.name, pipeline.images, pipeline.store) == ("demo-app", ("web", "worker"), "./artifacts")
    assert pipeline.source is not None
    assert pipeline.source.text == "registry.example/staging-{image}:{tag}"
    assert pipeline.registries == {
        "registry.internal:5000": RegistryOptions(plain_http=True),
        "registry.example": RegistryOptions(ca_file="certs/ca.pem"),
    }
    assert pipeline.variables == {"team": "blue"}
    assert [(stage.name, stage.after) for stage in pipeline.stages] == [("dev", ()), ("test", ("dev",))]
    dev = pipeline.stage("dev")
    assert [(to.text, to.line) for to in dev.to] == [("registry.internal:5000/{team}-{image}", 14)]
    assert [(tag.text, tag.line) for tag in dev.tags] == [("{build}", 15), ("latest", 15)]
    assert set(pipeline.undeclared) == {"tag"}
    assert pipeline.undeclared["tag"].line == 4


def test_a_snapshot_says_the_same_as_the_file_wherever_the_lines_were() -> None:
    pipeline = load(GOOD)
    snapshot = Pipeline.parse(pipeline.document, pipeline.id)

    assert snapshot == pipeline
    assert load("# moved down\n\n" + GOOD, "elsewhere.yaml").id == pipeline.id
    assert load(GOOD.replace("latest", "stable")).id != pipeline.id


def test_aliases_are_written_out() -> None:
    text = GOOD.replace('tags: ["{build}", latest]', "tags: &tags ['{image}-{build}']").replace(
        'tags: ["{image}-{build}"]', "tags: *tags"
    )

    assert [tag.text for tag in load(text).stage("test").tags] == ["{image}-{build}"]


@pytest.mark.parametrize(
    ("old", "new", "line", "said", "hint"),
    [
        # keys
        ("images:", "imges:", 2, "'imges' is not a key of a pipeline file", "did you mean 'images'?"),
        ("    after:", "    afetr:", 17, "'afetr' is not a key of a stage", "did you mean 'after'?"),
        ("plain-http", "plain_http", 7, "'plain_http' is not a key of a registry", "did you mean 'plain-http'?"),
        ("    to: oci:stages/test\n", "", 16, "to is missing", "a stage needs it"),
        ("store: ./artifacts", "store: ./artifacts\nstore: ./other", 4, "the key 'store' is here twice", "last one"),
        ("team: blue", "team: blue\n  team: red", 11, "the key 'team' is here twice", "last one"),
        ("pipeline: demo-app", "<<: {a: b}", 1, "merge keys", "alias"),
        ("pipeline: demo-app", "1: b", 1, "not text", "quotes"),
        # kinds of values
        ("after: [dev]", "after: dev", 17, "after is text, and should be a list", "write [dev]"),
        ("images: [web, worker]", "images:", 2, "images is empty, and should be a list", ""),
        ("images: [web, worker]", "images: []", 2, "images is empty", ""),
        ("latest]", "1.10]", 15, "an item of tags is a number", 'write it in quotes: "1.10"'),
        ("latest]", "2024-05-01]", 15, "a number or a date", 'write it in quotes: "2024-05-01"'),
        ("latest]", "on]", 15, "an item of tags is true or false", "write it in quotes"),
        ("latest]", "42]", 15, "an item of tags is 42, and should be text", 'write it in quotes: "42"'),
        ("latest]", "0123]", 15, "an item of tags is a number", 'write it in quotes: "0123"'),
        ("team: blue", "team: 0x1F", 10, "team is a number", 'write it in quotes: "0x1F"'),
        ("plain-http: true", 'plain-http: "true"', 7, "plain-http is text, and should be true or false", ""),
        ("plain-http: true", "plain-http: 1", 7, "should be true or false", ""),
        ("team: blue", 'team: "\\uD800"', 10, "half a character", ""),
        ("  - name: dev", "  - dev\n  - name: dev", 12, "should be a mapping", ""),
        ("team: blue", "team: !!python/object/apply:os.system [id]", 10, "is not taken here", ""),
        ("team: blue", "team: !secret x", 10, "a value of the kind '!secret' is not taken here", ""),
        # names
        ("pipeline: demo-app", "pipeline: demo app", 1, "'demo app' is not a name", "letters, digits"),
        ("images: [web", "images: [Web", 2, "'Web' is not a name", "lower-case"),
        ("images: [web", "images: [worker", 2, "the image 'worker' is named twice", ""),
        ("  team: blue", "  te.am: blue", 10, "'te.am' is not a name", "letters, digits, '_' and '-'"),
        ("  team: blue", "  build: blue", 10, "{build} gets its value from the release", "another name"),
        ("registry.example: {", "registry.example/x: {", 8, "is not a registry's host", "host:port"),
        # stages and their order
        ("name: test", "name: dev", 16, "the stage 'dev' is named twice", ""),
        ("[dev]", "[dve]", 17, "there is no stage 'dve'", "did you mean 'dev'?"),
        ("[dev]", "[test]", 17, "the stage 'test' comes after itself", ""),
        ("[dev]", "[dev, dev]", 17, "the stage 'dev' is named twice", ""),
        ("trigger: manual", "after: [test]", 13, "dev → test → dev", ""),
        # texts with variables
        ("oci:stages/test", "registry.example/{image", 18, "a brace that belongs to no variable", "write {name}"),
        ("oci:stages/test", "Registry.example/Web", 18, "'Web' cannot be part of a repository", ""),
        ("oci:stages/test", "registry.example/{image}:1", 18, "'registry.example/{image}:1' has a tag", "under tags"),
        ("oci:stages/test", "docker-archive:x.tar", 18, "cannot be a stage", "oci:folder"),
        ("oci:stages/test", "s3://bucket/x", 18, "cannot be a stage", "oci:folder"),
        ('"{image}-{build}"', '"{image} {build}"', 19, "'{image} {build}' is not a tag", ""),
        ('"{image}-{build}"', '"{build}"', 19, "every image would get the same reference", "{image}"),
        ("staging-{image}", "staging", 4, "every image would come from the same reference", "{image}"),
        (":{tag}", "", 4, "has neither tag nor digest", ":latest"),
        (":{tag}", ":{release}", 4, "{release} is not known before there is a release", "--var"),
        ("team: blue", 'team: "{build}"', 10, "the value of 'team' has braces", "write it out"),
        # secrets
        ("team: blue", "team: env:TEAM", 10, "is a secret reference", "variables are public"),
        ("latest]", "file:tag.txt]", 15, "is a secret reference", ""),
        ("certs/ca.pem", "env:CA", 8, "a secret reference is not taken here", ""),
        # not in this version
        ("./artifacts", "ftp://host/artifacts", 3, "names no object store", "s3://"),
        ("./artifacts", "s3://b/artifacts", 3, "cannot name a bucket", "s3://bucket"),
        ("./artifacts", "oci://registry.example/artifacts:1", 3, "has a tag", "oci://registry/repository"),
        ("./artifacts", "s3://me:hidden@bucket/x", 3, "without user and password", "from the environment"),
        ("./artifacts", "oci://me:hidden@registry.example/x", 3, "without user and password", "from the environment"),
        ("./artifacts", "docker:artifacts", 3, "names no store", "oci://"),
        ("trigger: manual", "evidence: [slsa]", 13, "evidence is not supported by this version", "take it out"),
        ("{ca-file: certs/ca.pem}", "{verify: strict}", 8, "verify is not supported by this version", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, line: int, said: str, hint: str) -> None:
    error = wrong(old, new)

    assert (error.line, said in error.message, hint in error.hint) == (line, True, True), f"{error} | {error.hint}"


@pytest.mark.parametrize("key", sorted(NOT_YET))
@pytest.mark.parametrize("value", ["{count: 2, from: [a]}", "[{soak: 2h}]", "'fri 16:00'", "null"])
def test_what_this_version_does_not_do_is_refused_and_never_ignored(key: str, value: str) -> None:
    stage = wrong("    after: [dev]", f"    after: [dev]\n    {key}: {value}")
    top = wrong("variables:", f"{key}: {value}\nvariables:")

    for error, line in ((stage, 18), (top, 9)):
        assert (error.message, error.line) == (f"{key} is not supported by this version", line)
        assert error.hint


def test_the_first_of_several_errors_is_reported() -> None:
    error = wrong("pipeline: demo-app", "pipeline: demo app\nverify: [x]")

    assert error.line == 1


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"", 1, "not a pipeline file"),
        (b"- a", 1, "not a pipeline file"),
        (b"pipeline: [a\nimages: b", 2, "not YAML"),
        (b"pipeline: a\n---\npipeline: b\n", 2, "not YAML"),
        (b"pipeline: a\nimages: *gone", 2, "not YAML"),
        (b"pipeline: a\n\x00", 2, "not YAML"),
        (b"pipeline: a\nimages: \xff", 2, "not UTF-8"),
        (b"a: &a [*a]", 1, "nested too deeply"),
        (b"a: " + b"[" * 60 + b"]" * 60, 1, "nested too deeply"),
        (b"a: " + b"[" * 50_000, 0, "nested too deeply"),
        (b"a: " + b"x" * 200_000, 0, "the limit is"),
    ],
)
def test_what_is_no_pipeline_file_is_refused(data: bytes, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(data, "liftlock.yaml")

    assert (caught.value.line, said in caught.value.message) == (line, True), caught.value


def test_a_yaml_bomb_is_refused_before_it_grows() -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    with pytest.raises(ConfigError, match="more than 20000 values"):
        load("\n".join(layers))


def test_braces_in_a_list_on_one_line_want_quotes() -> None:
    said = wrong("to: oci:stages/test", "to: [registry.example/{image}, oci:stages/test]")

    assert "it is not YAML" in said.message
    assert "in quotes" in said.hint


def test_a_file_is_read_and_named_in_its_errors(tmp_path: Path) -> None:
    file = tmp_path / "liftlock.yaml"
    file.write_text("\ufeff" + GOOD, encoding="utf-8")

    assert read(file) == load(GOOD)
    file.write_text("pipeline: [")
    with pytest.raises(ConfigError, match=r"liftlock\.yaml:1: it is not YAML"):
        read(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(NotFound):
        read(tmp_path / "none.yaml")


KEYS = [
    "pipeline",
    "images",
    "stages",
    "name",
    "to",
    "tags",
    "after",
    "variables",
    "registries",
    "store",
    "source",
    "x",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=12)
    | st.sampled_from(["web", "dev", "{image}", "oci:x/{image}", "env:X", "manual", *KEYS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_any_yaml_is_a_pipeline_without_flaws_or_a_config_error(content: dict[str, object]) -> None:
    document = {"pipeline": "demo", "images": ["web"], "stages": [{"name": "dev", "to": "a/b", "tags": ["x"]}]}
    try:
        pipeline = load(yaml.safe_dump({**document, **content}, allow_unicode=True))
    except ConfigError:
        return
    assert Pipeline.parse(pipeline.document, pipeline.id) == pipeline


@settings(max_examples=100)
@given(st.text(alphabet="ab:{}[]&*!-?|>'\"#\n \t%@,0\x00\x85\u2028é"))
def test_any_text_is_answered(text: str) -> None:
    with pytest.raises(ConfigError):
        load(text)
