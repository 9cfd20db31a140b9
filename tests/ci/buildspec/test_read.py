"""A buildspec is understood as a whole, or refused with the line and a way out."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from liftlock.ci.buildspec.model import OnFailure, PhaseName, SecretReference, Shell
from liftlock.ci.buildspec.read import read, read_secret
from liftlock.errors import ConfigError

WHOLE = """\
version: 0.2
env:
  shell: bash
  variables:
    IMAGE_TAG: 1.10
    SURE: yes
    LITERAL: $PATH
  parameter-store:
    PASSWORD: /prod/password
  secrets-manager:
    TOKEN: prod/app:token
  exported-variables:
    - DIGEST
phases:
  install:
    commands:
      - echo install
  build:
    on-failure: CONTINUE
    commands:
      - echo 1
      - |
        if true; then
          echo 2
        fi
    finally:
      - echo done
artifacts:
  files:
    - '**/*'
  base-directory: out
  discard-paths: yes
  exclude-paths: ['*.tmp']
  name: app-$(date +%Y)
  secondary-artifacts:
    digests:
      files: [digests.txt]
"""


def test_a_whole_file_is_read_with_its_lines() -> None:
    spec = read(WHOLE.encode(), "ci/buildspec.yml")

    assert spec.env.shell is Shell.BASH
    assert {name: text.text for name, text in spec.env.variables.items()} == {
        "IMAGE_TAG": "1.10",
        "SURE": "yes",
        "LITERAL": "$PATH",
    }
    assert spec.env.parameter_store["PASSWORD"].text == "/prod/password"
    assert spec.env.parameter_store["PASSWORD"].line == 9
    assert spec.env.secrets_manager["TOKEN"] == (SecretReference(id="prod/app", key="token"), 11)
    assert [each.text for each in spec.env.exported_variables] == ["DIGEST"]
    assert list(spec.phases) == [PhaseName.INSTALL, PhaseName.BUILD]
    build = spec.phases[PhaseName.BUILD]
    assert [(command.line, command.text) for command in build.commands] == [
        (21, "echo 1"),
        (22, "if true; then\n  echo 2\nfi\n"),
    ]
    assert [command.text for command in build.finally_] == ["echo done"]
    assert build.on_failure is OnFailure.CONTINUE
    assert spec.artifacts is not None
    assert spec.artifacts.discard_paths
    assert spec.artifacts.base_directory is not None
    assert spec.artifacts.base_directory.text == "out"
    assert [each.text for each in spec.secondary_artifacts["digests"].files] == ["digests.txt"]
    assert spec.where(21) == "ci/buildspec.yml:21"


def test_a_part_of_another_file_has_the_lines_of_that_file() -> None:
    text = b"version: 0.2\nphases:\n  build:\n    commands: [echo]\n"

    assert read(text, "template.yaml", first_line=40).phases[PhaseName.BUILD].line == 42
    with pytest.raises(ConfigError) as raised:
        read(text + b"cache: {}\n", "template.yaml", first_line=40)
    assert raised.value.line == 44
    with pytest.raises(ConfigError) as raised:
        read(b"version: 0.2\nphases: {\n", "template.yaml", first_line=40)
    assert raised.value.line == 42


def test_phases_run_in_their_order_however_they_are_written() -> None:
    text = "version: 0.2\nphases:\n  post_build: {commands: [a]}\n  install: {commands: [b]}\n"

    assert list(read(text.encode(), "b.yml").phases) == [PhaseName.INSTALL, PhaseName.POST_BUILD]


PHASES = "phases:\n  build:\n    commands:\n      - echo\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("- a\n", 1, "mapping"),
        ("phases: {}\n", 1, "no version"),
        ("version: 0.1\nphases: {}\n", 1, "'0.1' is not run here"),
        ("version: '2'\n", 1, "'2'"),
        ("version: 0.2\n", 1, "no phases"),
        ("version: 0.2\nphases: {}\n", 2, "no phase"),
        ("version: 0.2\nphases:\n", 2, "a mapping"),
        ("version: 0.2\nphases:\n  biuld: {commands: [a]}\n", 3, "did you mean 'build'?"),
        ("version: 0.2\nphases:\n  build:\n", 3, "a mapping"),
        ("version: 0.2\nphases:\n  build: {}\n", 3, "no commands"),
        ("version: 0.2\nphases:\n  build:\n    commands: echo\n", 4, "a list"),
        ("version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b\n", 5, "is a mapping to YAML"),
        ("version: 0.2\nphases:\n  build:\n    commands:\n      - [a]\n", 5, "is a list"),
        ("version: 0.2\nphases:\n  build:\n    commands:\n      - \n", 5, "is empty"),
        ("version: 0.2\nphases:\n  build:\n    commands:\n      - ' '\n", 5, "is empty"),
        ('version: 0.2\nphases:\n  build:\n    commands:\n      - "a\\0b"\n', 5, "no shell takes"),
        ("version: 0.2\nphases:\n  build:\n    comands: [a]\n", 4, "did you mean 'commands'?"),
        ("version: 0.2\nphases:\n  build:\n    on-failure: RETRY-3\n    commands: [a]\n", 4, "retry within"),
        ("version: 0.2\nphases:\n  build:\n    on-failure: continue\n    commands: [a]\n", 4, "ABORT or CONTINUE"),
        ("version: 0.2\nphases:\n  build:\n    run-as: root\n    commands: [a]\n", 4, "not honoured"),
        ("version: 0.2\nphases:\n  install:\n    runtime-versions: {python: 3.11}\n", 4, "install the runtimes"),
        (f"version: 0.2\nrun-as: root\n{PHASES}", 2, "not honoured"),
        (f"version: 0.2\nproxy: {{logs: yes}}\n{PHASES}", 2, "HTTP_PROXY"),
        (f"version: 0.2\nbatch: {{}}\n{PHASES}", 2, "one by one"),
        (f"version: 0.2\nreports: {{}}\n{PHASES}", 2, "not honoured"),
        (f"version: 0.2\ncache: {{paths: [a]}}\n{PHASES}", 2, "not honoured"),
        (f"version: 0.2\nartefacts: {{}}\n{PHASES}", 2, "did you mean 'artifacts'?"),
        (f"version: 0.2\nversion: 0.2\n{PHASES}", 2, "twice"),
        (f"version: 0.2\nenv:\n  git-credential-helper: yes\n{PHASES}", 3, "git's own"),
        (f"version: 0.2\nenv:\n  shell: powershell.exe\n{PHASES}", 3, "bash or /bin/sh"),
        (f"version: 0.2\nenv:\n  variables:\n    A B: 1\n{PHASES}", 4, "no name of a variable"),
        (f"version: 0.2\nenv:\n  variables:\n    CODEBUILD_X: 1\n{PHASES}", 4, "CodeBuild's own"),
        (f"version: 0.2\nenv:\n  variables:\n    A:\n{PHASES}", 4, 'write ""'),
        (f"version: 0.2\nenv:\n  variables:\n    A: [1]\n{PHASES}", 4, "is a list"),
        (f"version: 0.2\nenv:\n  variables:\n    A: !!binary aGk=\n{PHASES}", 4, "binary"),
        (f"version: 0.2\nenv:\n  variables:\n    <<: {{A: 1}}\n{PHASES}", 4, "merge keys"),
        (f"version: 0.2\nenv:\n  variables: {{A: 1}}\n  parameter-store:\n    A: b\n{PHASES}", 5, "in line 3"),
        (f"version: 0.2\nenv:\n  parameter-store:\n    A: ''\n{PHASES}", 4, "names no parameter"),
        (f"version: 0.2\nenv:\n  secrets-manager:\n    A: 'a:b:c:d:e'\n{PHASES}", 4, "more than the parts"),
        (f"version: 0.2\nenv:\n  secrets-manager:\n    A: 'a:b:c:d'\n{PHASES}", 4, "takes one"),
        (f"version: 0.2\nenv:\n  exported-variables: [A, A]\n{PHASES}", 3, "twice"),
        (f"version: 0.2\nenv:\n  exported-variables:\n    - AWS_X\n{PHASES}", 4, "AWS_"),
        (f"version: 0.2\n{PHASES}artifacts: {{}}\n", 6, "no files"),
        (f"version: 0.2\n{PHASES}artifacts:\n  files: a\n", 7, "a list"),
        (f"version: 0.2\n{PHASES}artifacts:\n  files: [../a]\n", 7, "out of the source folder"),
        (f"version: 0.2\n{PHASES}artifacts:\n  files:\n    - /etc/passwd\n", 8, "out of the source folder"),
        (f"version: 0.2\n{PHASES}artifacts:\n  files: [$A]\n", 7, "none is expanded"),
        (f"version: 0.2\n{PHASES}artifacts:\n  files: [a]\n  discard-paths: maybe\n", 8, "yes or no"),
        (f"version: 0.2\n{PHASES}artifacts:\n  files: [a]\n  enable-symlinks: yes\n", 8, "not honoured"),
        (f"version: 0.2\n{PHASES}artifacts:\n  files: [a]\n  s3-prefix: x\n", 8, "into a folder here"),
        (f"version: 0.2\n{PHASES}artifacts:\n  secondary-artifacts:\n    x/y: {{files: [a]}}\n", 8, "identifier"),
        (f"version: 0.2\n{PHASES}artifacts:\n  secondary-artifacts:\n    x: {{}}\n", 8, "no files"),
    ],
)  # fmt: skip
def test_what_is_not_honoured_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text.encode(), "buildspec.yml")

    assert (raised.value.path, raised.value.line) == ("buildspec.yml", line)
    assert words in f"{raised.value.message} {raised.value.hint}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prod/app", SecretReference(id="prod/app")),
        ("prod/app:token", SecretReference(id="prod/app", key="token")),
        ("prod/app::AWSPREVIOUS", SecretReference(id="prod/app", stage="AWSPREVIOUS")),
        ("prod/app:::7d2a", SecretReference(id="prod/app", version="7d2a")),
        (
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf:token:AWSCURRENT",
            SecretReference(
                id="arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf", key="token", stage="AWSCURRENT"
            ),
        ),
    ],
)
def test_a_secrets_reference_is_taken_apart(text: str, expected: SecretReference) -> None:
    assert read_secret(text) == expected
    assert read_secret(str(expected)) == expected


@pytest.mark.parametrize("text", ["", ":key", "arn:aws:secretsmanager:eu-west-1:123456789012", "arn:aws:x:::secret:a"])
def test_what_names_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not name a secret"):
        read_secret(text)


KEYS = st.sampled_from(
    ("version", "env", "phases", "artifacts", "build", "install", "commands", "finally", "on-failure", "variables",
     "shell", "parameter-store", "secrets-manager", "exported-variables", "files", "name", "secondary-artifacts",
     "base-directory", "discard-paths", "cache", "A", "")
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), KEYS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | SCALARS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_yaml_is_read_or_refused_with_a_line(content: dict[str, object]) -> None:
    for value in (content, {"version": "0.2", **content}, {"version": "0.2", "phases": {"build": content}}):
        text = yaml.safe_dump(value, allow_unicode=True).replace("'0.2'", "0.2")
        refused: ConfigError | None = None
        try:
            read(text.encode("utf-8", "surrogatepass"), "buildspec.yml")
        except ConfigError as error:
            refused = error
        assert refused is None or (refused.path == "buildspec.yml" and refused.line)


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_without_a_traceback(data: bytes) -> None:
    with pytest.raises(ConfigError):
        read(data, "buildspec.yml")
