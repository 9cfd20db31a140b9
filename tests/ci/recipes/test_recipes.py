"""What all recipes have in common: what cannot work is said with its line, and no file is overwritten by mistake."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from liftlock import __version__
from liftlock.ci.recipes.blueprint import Blueprint, read_blueprint
from liftlock.ci.recipes.table import RECIPES, make
from liftlock.cli.ci import SYSTEMS
from liftlock.errors import ConfigError, Conflict, LiftlockError, NotFound, UsageError
from tests.ci.recipes.machines import SOURCE, TWO_STAGES
from tests.support.processes import liftlock

STAGES = """\
pipeline: shop
images: [web]
groups: {leads: [anna]}
stages:
  - name: dev
    to: dev.example/{image}
    tags: ["{build}"]
  - name: prod
    after: [dev]
    to: prod.example/{image}
    tags: [stable]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blueprint(folder: Path, text: str = STAGES) -> Blueprint:
    (folder / "liftlock.yaml").write_text(text)
    return read_blueprint(approvals="ask in CI")


def changed(old: str, new: str) -> str:
    assert STAGES.count(old) == 1, old
    return STAGES.replace(old, new)


PROD = "    after: [dev]\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (changed(PROD, f"{PROD}    approvals: {{from: [leads]}}\n"), 10, "the approvals of 'prod' cannot be known"),
        (changed(PROD, f"{PROD}    gates:\n    - soak: 2h\n"), 11, "the soak of 'prod' cannot be known"),
        (changed("stages:", "defaults: {queue: supersede}\nstages:"), 4, "the queue of 'dev' cannot be known"),
        (changed(PROD, f"{PROD}    trigger: on-success\n"), 10, "trigger: on-success would start 'prod' in the job of"),
        (
            changed(PROD, f"{PROD}    trigger: {{schedule: '0 6 * * 1 UTC'}}\n"),
            10,
            "the schedule of 'prod' needs a worker",
        ),
        (changed(PROD, "    after: {any: [dev]}\n"), 9, "'prod' comes after any of several stages"),
        (changed("to: prod.example/{image}", "to: 'oci:out/{image}'"), 10, "oci:out/{image} is a folder of one mach"),
        (changed("stable", "'{label.version}'"), 11, "{label.version} is known only to the job that publishes"),
        (changed("{build}", "{date}"), 7, "{date} may be another one in the next job, which then does not find what"),
        (changed("to: prod.example/{image}", "to: '{host}.example/{image}'"), 10, "the registry is known only with a"),
    ],
)
def test_what_jobs_cannot_know_is_refused_with_its_line(folder: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError, match=r".") as raised:
        blueprint(folder, text)

    assert said in raised.value.message
    assert (raised.value.path, raised.value.line) == ("liftlock.yaml", line)
    assert raised.value.hint


def test_the_last_stage_may_have_what_nobody_looks_for(folder: Path) -> None:
    assert blueprint(folder, changed("stable", "'{date}'")).jobs[1].stage.name == "prod"


def test_the_hint_says_how_the_system_itself_asks(folder: Path) -> None:
    (folder / "liftlock.yaml").write_text(changed(PROD, f"{PROD}    approvals: {{from: [leads]}}\n"))

    for system in ("azure-pipelines", "github", "gitlab"):
        with pytest.raises(ConfigError) as raised:
            make(system, "liftlock.yaml", ".")
        assert RECIPES[system].approvals in raised.value.hint
        assert "LIFTLOCK_DATABASE_URL" in raised.value.hint
    assert [path.name for path in folder.iterdir()] == ["liftlock.yaml"]


def test_codepipeline_says_what_its_roles_cannot_reach(folder: Path) -> None:
    (folder / "liftlock.yaml").write_text(STAGES)
    with pytest.raises(ConfigError, match="this pipeline has no source"):
        make("codepipeline", "liftlock.yaml", ".")

    (folder / "liftlock.yaml").write_text(dedent(SOURCE))
    with pytest.raises(ConfigError, match=r"dev\.example is no private registry of Amazon ECR") as raised:
        make("codepipeline", "liftlock.yaml", ".")
    assert raised.value.line == 3


def test_two_stages_that_a_ci_system_could_not_tell_apart_are_refused(folder: Path) -> None:
    two = STAGES.replace("name: dev", "name: a-b").replace("[dev]", "[a-b]").replace("name: prod", "name: a.b")

    with pytest.raises(ConfigError, match="two stages would both be called a_b in CI"):
        blueprint(folder, two)
    with pytest.raises(ConfigError, match="the stage 'build' would be called like the recipe's own"):
        blueprint(folder, STAGES.replace("name: dev", "name: build").replace("[dev]", "[build]"))


def test_what_is_there_stays_as_it_is(folder: Path) -> None:
    (folder / "liftlock.yaml").write_text(dedent(TWO_STAGES))
    (folder / "azure-pipelines.yml").write_text("mine\n")

    with pytest.raises(Conflict, match=r"azure-pipelines\.yml is there already"):
        make("azure-pipelines", "liftlock.yaml", ".")
    assert not (folder / ".azure-pipelines").exists()
    assert (folder / "azure-pipelines.yml").read_text() == "mine\n"

    make("azure-pipelines", "liftlock.yaml", ".", force=True)
    assert (folder / "azure-pipelines.yml").read_text().startswith("# Written by liftlock ")


def test_what_was_begun_and_cannot_be_written_leaves_nothing(folder: Path) -> None:
    (folder / "liftlock.yaml").write_text(dedent(TWO_STAGES))
    (folder / ".azure-pipelines").write_text("a file\n")

    with pytest.raises(LiftlockError, match="cannot be written"):
        make("azure-pipelines", "liftlock.yaml", ".")
    assert not (folder / "azure-pipelines.yml").exists()


def test_a_pipeline_file_below_the_folder_is_named_in_every_command(folder: Path) -> None:
    (folder / "ci").mkdir()
    (folder / "ci" / "my pipeline.yaml").write_text(dedent(TWO_STAGES))

    (text,) = make("github", "ci/my pipeline.yaml", ".").values()

    assert text.count("liftlock promote --file 'ci/my pipeline.yaml'") == 2
    assert text.count("liftlock artifact publish --file 'ci/my pipeline.yaml'") == 2
    with pytest.raises(UsageError, match="is not in the current folder"):
        make("github", "../liftlock.yaml", ".")
    with pytest.raises(UsageError, match="cannot be written into a recipe"):
        make("github", 'ci/"$(id)".yaml', ".")
    with pytest.raises(NotFound):
        make("github", "nowhere.yaml", ".")


SECRETS = """\
pipeline: shop
images: [web]
source: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/staging-{image}:latest
stages:
  - name: prod
    to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/prod-{image}
    tags: [stable]
    notify:
      - webhook: {url: env:DEPLOY_HOOK, secret: env:DEPLOY_SECRET}
"""


def test_the_secrets_of_notifiers_reach_the_job_and_no_recipe(folder: Path) -> None:
    (folder / "liftlock.yaml").write_text(SECRETS)

    texts = {system: "\n".join(make(system, "liftlock.yaml", ".").values()) for system in RECIPES}

    assert "      DEPLOY_HOOK: ${{ secrets.DEPLOY_HOOK }}\n" in texts["github"]
    assert " DEPLOY_HOOK: $(DEPLOY_HOOK)\n" in texts["azure-pipelines"]
    assert "variable group liftlock-prod, with DEPLOY_HOOK, DEPLOY_SECRET," in texts["azure-pipelines"]
    assert "for the environment prod: DEPLOY_HOOK, DEPLOY_SECRET," in texts["gitlab"]
    assert "Type: PARAMETER_STORE\n            Value: /liftlock/shop/DEPLOY_SECRET\n" in texts["codepipeline"]
    assert ":parameter/liftlock/shop/DEPLOY_HOOK" in texts["codepipeline"]


@pytest.mark.acceptance
def test_the_command_writes_and_prints(folder: Path) -> None:
    (folder / "liftlock.yaml").write_text(dedent(SOURCE))

    shown = liftlock("ci", "init", "github", "--dry-run", cwd=folder)
    written = liftlock("ci", "init", "github", cwd=folder)
    again = liftlock("ci", "init", "github", cwd=folder, check=False)

    assert shown.out.startswith("# === .github/workflows/promote.yml\n# Written by liftlock ")
    assert f'"liftlock=={__version__}"' in shown.out
    assert written.out.startswith("wrote .github/workflows/promote.yml\n")
    assert (folder / ".github/workflows/promote.yml").read_text() in shown.out
    assert again.code == 6
    assert "--force" in again.err
    assert set(SYSTEMS) == set(RECIPES), "the command knows the recipes without loading them"
