"""A stage is read with all that a run of it needs; what cannot be run here is refused with its line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from textwrap import dedent, indent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.ci.buildspec.surroundings import VariableType
from liftlock.errors import ConfigError, LiftlockError, NotFound, UsageError
from tests.ci.codepipeline.stages import ACTION, TEMPLATE, changed, line_of, stage_of

SECOND = ACTION.replace("Name: Build", "Name: Second").replace("Name: Out", "Name: Other")


def refusal(text: str, *more: str) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        stage_of(text, inputs=dict.fromkeys(("App", *more), Path()))
    return raised.value


def test_a_stage_has_its_actions_with_all_that_they_need() -> None:
    stage = stage_of(TEMPLATE)

    (action,) = stage.actions
    assert (stage.pipeline, stage.name, action.name, action.order) == ("shop", "Promote", "Build", 1)
    assert (action.inputs, action.primary, action.outputs) == (("App",), "App", ("Out",))
    assert (action.project.name, action.buildspec.file, action.timeout) == ("promote", "spec.yml", 3600)
    (variable,) = action.project.variables
    assert (variable.name, variable.value, variable.type) == ("TAG", "latest", VariableType.PLAINTEXT)
    assert (variable.path, variable.line) == ("t.yaml", line_of(TEMPLATE, "Name: TAG"))


def test_what_a_local_run_does_not_imitate_is_told_with_its_line() -> None:
    notes = [(note.line, note.what) for note in stage_of(changed("RunOrder: 1", "RoleArn: !GetAtt A.B")).notes]

    assert notes == [
        (line_of(TEMPLATE, "RunOrder"), "RoleArn (Fn::GetAtt)"),
        (line_of(TEMPLATE, "ComputeType"), "ComputeType (BUILD_GENERAL1_SMALL)"),
        (line_of(TEMPLATE, "Image:"), "Image (aws/codebuild/standard:7.0)"),
        (line_of(TEMPLATE, "LINUX_CONTAINER"), "Type (LINUX_CONTAINER)"),
        (line_of(TEMPLATE, "PrivilegedMode"), "PrivilegedMode (true)"),
        (line_of(TEMPLATE, "ServiceRole"), "ServiceRole (Fn::GetAtt)"),
    ]


def test_what_is_switched_off_needs_no_imitation() -> None:
    notes = stage_of(changed("PrivilegedMode: true", "PrivilegedMode: false")).notes

    assert not [note for note in notes if "PrivilegedMode" in note.what]


def test_a_stage_may_be_cut_out_of_a_template() -> None:
    stages = f"        - Name: Promote\n          Actions:\n{ACTION}"
    project = TEMPLATE[TEMPLATE.index("  Project:") :]

    stage = stage_of(stages, project)

    assert stage.pipeline == "t"
    assert [action.project.name for action in stage.actions] == ["promote"]


def test_pieces_need_no_declared_parameters() -> None:
    stages = f"- Name: Promote\n  Actions:\n{ACTION}"
    project = changed("Value: latest", "Value: !Ref Tag")[TEMPLATE.index("  Project:") :]

    with pytest.raises(ConfigError, match="there is no parameter or resource 'Tag'") as raised:
        stage_of(stages, project)
    assert "--parameter Tag=VALUE" in raised.value.hint

    (action,) = stage_of(stages, project, parameters={"Tag": "1.4"}).actions
    assert action.project.variables[0].value == "1.4"


def test_json_says_the_same() -> None:
    stage = stage_of(
        """{"Resources": {
        "Pipe": {"Type": "AWS::CodePipeline::Pipeline", "Properties": {"Stages": [{"Name": "Promote", "Actions": [{
            "Name": "Build", "ActionTypeId": {"Category": "Test", "Owner": "AWS", "Provider": "CodeBuild"},
            "Configuration": {"ProjectName": {"Ref": "Project"}}, "InputArtifacts": [{"Name": "App"}]}]}]}},
        "Project": {"Type": "AWS::CodeBuild::Project", "Properties": {
            "Artifacts": {"Type": "CODEPIPELINE"}, "Source": {"Type": "CODEPIPELINE"},
            "Environment": {"EnvironmentVariables": [{"Name": "REG", "Value": {"Fn::Sub": "${AWS::AccountId}.x"}}]}}}}}
        """
    )

    (action,) = stage.actions
    assert (stage.pipeline, action.project.name, action.buildspec.file) == ("Pipe", "Project", "buildspec.yml")
    assert action.project.variables[0].value == "123456789012.x"


def test_actions_are_grouped_by_run_order() -> None:
    third = SECOND.replace("Name: Second", "Name: Third").replace("Name: Other", "Name: More")
    text = changed(ACTION, ACTION.replace("RunOrder: 1", "RunOrder: 20") + SECOND + third)

    assert [[action.name for action in group] for group in stage_of(text).groups] == [["Second", "Third"], ["Build"]]


def test_a_project_is_found_by_its_name_too() -> None:
    (action,) = stage_of(changed("ProjectName: !Ref Project", "ProjectName: !Sub '${Project}'")).actions

    assert action.project.name == "promote"


def test_names_of_other_projects_need_not_be_known() -> None:
    other = "  Other:\n    Type: AWS::CodeBuild::Project\n    Properties: {Name: !Join ['', [a]]}\n"
    text = changed("  Project:\n", f"{other}  Project:\n")

    for called in ("!Ref Project", "promote"):
        (action,) = stage_of(changed("ProjectName: !Ref Project", f"ProjectName: {called}", text)).actions
        assert action.project.name == "promote"


def test_an_inline_buildspec_keeps_the_lines_of_the_template() -> None:
    block = indent(dedent("version: 0.2\nphases:\n  build: {commands: [x]}\n"), " " * 10)
    text = changed("BuildSpec: spec.yml", f"BuildSpec: !Sub |\n{block}")

    (action,) = stage_of(text).actions

    assert action.buildspec.text.startswith("version: 0.2\n")
    assert (action.buildspec.file, action.buildspec.begins) == ("", line_of(text, "version: 0.2"))


def test_an_action_overrides_buildspec_and_time() -> None:
    more = "BuildspecOverride: ci/other.yml\n                BatchEnabled: false"
    text = changed("!Ref Project", f"!Ref Project\n                {more}")
    text = changed("      Name: promote\n", "      Name: promote\n      TimeoutInMinutes: 30\n", text)

    (action,) = stage_of(text).actions

    assert (action.buildspec.file, action.timeout) == ("ci/other.yml", 1800)


def test_variables_of_an_action_have_types() -> None:
    listed = '[{"name":"A","value":"x"},{"name":"B","value":"/p","type":"PARAMETER_STORE"}]'
    text = changed("!Ref Project", f"!Ref Project\n                EnvironmentVariables: '{listed}'")
    (action,) = stage_of(text).actions

    assert [(each.name, each.value, each.type) for each in action.variables] == [
        ("A", "x", VariableType.PLAINTEXT),
        ("B", "/p", VariableType.PARAMETER_STORE),
    ]


def test_properties_without_a_value_are_absent() -> None:
    text = changed("BuildSpec: spec.yml", "BuildSpec: !Ref AWS::NoValue")

    (action,) = stage_of(text).actions

    assert action.buildspec.file == "buildspec.yml"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Provider: CodeBuild", "Provider: Manual", "the action Build is of the provider Manual (AWS, Build)"),
        ("Category: Build", "Category: Approval", "the action Build is a manual approval"),
        ("Owner: AWS", "Owner: Custom", "of the provider CodeBuild (Custom, Build)"),
        ("!Ref Project", "nobody", "no template has the project 'nobody'; projects there: Project"),
        ("!Ref Project", "!GetAtt Project.Id", "Fn::GetAtt is not evaluated here"),
        ("!Ref Project", "'x#{a.b}'", "which project it is has to be known before the run"),
        ("RunOrder: 1", "RunOrder: 0", "RunOrder is '0', and not a whole number from 1 to 999"),
        ("RunOrder: 1", "RunOrder: 1.5", "YAML takes 1.5 for a number"),
        ("RunOrder: 1", "Runorder: 1", "'Runorder' is no key of an action"),
        ("RunOrder: 1", "Commands: [make]", "'Commands' is no key of an action"),
        ("RunOrder: 1", "Namespace: codepipeline", "'codepipeline' is no namespace that an action can have"),
        ("- Name: App", "- Name: ../App", "'../App' is no name of an artifact"),
        ("- Name: Out", "- Name: a/b", "'a/b' is no name of an artifact"),
        ("- Name: Build", "- Name: a/b", "'a/b' is no name of an action"),
        ("BuildSpec: spec.yml", "BuildSpec: ../spec.yml", "is outside of the input artifact"),
        ("BuildSpec: spec.yml", "BuildSpec: /etc/spec.yml", "is outside of the input artifact"),
        ("BuildSpec: spec.yml", "BuildSpec: 'arn:aws:s3:::bucket/spec.yml'", "a buildspec in a bucket is not fetched"),
        ("BuildSpec: spec.yml", "BuildSpec: !Join ['', [a]]", "Fn::Join is not evaluated here"),
        ("BuildSpec: spec.yml", "Buildspec: spec.yml", "'Buildspec' is no key of a source"),
        ("Name: promote", "Nmae: promote", "'Nmae' is no key of a project"),
        ("Name: promote", "TimeoutInMinutes: soon", "TimeoutInMinutes is 'soon'"),
        ("Name: TAG", "Name: 1TAG", "'1TAG' is no name of a variable"),
        ("Value: latest", "Value: !GetAtt A.B", "Fn::GetAtt is not evaluated here"),
        ("Value: latest", "Value: 1.10", "YAML takes 1.10 for a number"),
        ("Value: latest", "Valu: latest", "'Valu' is no key of a variable"),
        ("PrivilegedMode: true", "Privileged: true", "'Privileged' is no key of an environment"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_line(old: str, new: str, said: str) -> None:
    text = changed(old, new)
    error = refusal(text)

    assert said in error.message
    assert (error.path, error.line) == ("t.yaml", line_of(text, new))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("Project: x", "'Project' is no key of a CodeBuild action"),
        ("BatchEnabled: true", "BatchEnabled: batches of builds are not run here"),
        ("CombineArtifacts: 'true'", "CombineArtifacts: batches of builds are not run here"),
        ("BatchEnabled: 1", "BatchEnabled is '1', and neither true nor false"),
        ("PrimarySource: Ap", "'Ap' is no input artifact of this action"),
        ("EnvironmentVariables: '[{'", "EnvironmentVariables is not JSON"),
        ("EnvironmentVariables: '{}'", "EnvironmentVariables is a list of name, value and type"),
        ("""EnvironmentVariables: '[{"name":"A"}]'""", "has a name, a value, and perhaps a type"),
        ("""EnvironmentVariables: '[{"name":"A","value":1}]'""", "values and types of EnvironmentVariables are text"),
        ("""EnvironmentVariables: '[{"name":"A-B","value":""}]'""", "'A-B' is no name of a variable"),
        ("""EnvironmentVariables: '[{"name":"A","value":"","type":"X"}]'""", "'X' is no type of variable"),
        ("""EnvironmentVariables: '[{"name":"A","value":"#{X.Y}"}]'""", "#{X.Y} comes from no earlier action"),
        ("""EnvironmentVariables: '[{"name":"A","value":"#{X}"}]'""", "#{X} is no variable of a pipeline"),
        ("""EnvironmentVariables: '[{"name":"A","value":"#{X.Y"}]'""", "#{X.Y is no variable of a pipeline"),
    ],
)
def test_what_an_action_cannot_say_is_refused_with_its_line(setting: str, said: str) -> None:
    text = changed("ProjectName: !Ref Project", f"ProjectName: !Ref Project\n                {setting}")
    error = refusal(text)

    assert said in error.message
    assert (error.path, error.line) == ("t.yaml", line_of(text, setting))


@pytest.mark.parametrize("key", ["BeforeEntry", "OnSuccess"])
def test_a_stage_with_conditions_is_not_run_as_if_it_had_none(key: str) -> None:
    text = changed("        - Name: Promote\n", f"        - Name: Promote\n          {key}: {{Conditions: []}}\n")

    assert f"{key} has conditions, which cannot be asked here" in refusal(text).message
    assert refusal(text).line == line_of(text, key)


@pytest.mark.parametrize("part", ["Artifacts", "Source"])
def test_a_project_that_no_pipeline_builds_is_refused(part: str) -> None:
    text = changed(f"      {part}:\n        Type: CODEPIPELINE", f"      {part}:\n        Type: S3")

    assert refusal(text).message == f"{part} of the type S3 is not run here"
    assert refusal(text).line == line_of(text, "Type: S3")


def test_a_variable_is_said_once_and_has_a_type_that_there_is() -> None:
    twice = changed("            Value: latest\n", "            Value: latest\n          - {Name: TAG, Value: x}\n")
    odd = changed("            Value: latest\n", "            Value: latest\n            Type: SECRET\n")

    assert "the variable TAG is here twice" in refusal(twice).message
    assert "'SECRET' is no type of variable" in refusal(odd).message
    assert refusal(odd).line == line_of(odd, "- Name: TAG")


def test_several_inputs_need_a_primary_one() -> None:
    text = changed("                - Name: App\n", "                - Name: App\n                - Name: Config\n")
    primary = changed("!Ref Project", "!Ref Project\n                PrimarySource: Config", text)

    assert "PrimarySource is missing" in refusal(text, "Config").message
    assert refusal(text, "Config").line == line_of(text, "Configuration")
    (action,) = stage_of(primary, inputs={"App": Path(), "Config": Path()}).actions
    assert (action.inputs, action.primary) == (("App", "Config"), "Config")


def test_inputs_come_from_outside_or_from_earlier_actions() -> None:
    later = SECOND.replace("- Name: App", "- Name: Out").replace("RunOrder: 1", "RunOrder: 2")

    assert [action.inputs for action in stage_of(changed(ACTION, ACTION + later)).actions] == [("App",), ("Out",)]
    with pytest.raises(UsageError, match="the action Build needs the artifact App") as raised:
        stage_of(TEMPLATE, inputs={})
    assert raised.value.hint == "say --input App=FOLDER"
    with pytest.raises(UsageError, match="the action Second needs the artifact Out"):
        stage_of(changed(ACTION, ACTION + later.replace("RunOrder: 2", "RunOrder: 1")))
    with pytest.raises(UsageError, match="the artifact Out is made by the action Build of this stage"):
        stage_of(changed(ACTION, ACTION + later), inputs={"App": Path(), "Out": Path()})
    with pytest.raises(UsageError, match="no action of the stage Promote has the input artifact 'Ap'"):
        stage_of(TEMPLATE, inputs={"App": Path(), "Ap": Path()})


def test_names_are_one_actions() -> None:
    named = ACTION.replace("RunOrder: 1", "Namespace: Out")
    same = (
        (ACTION, SECOND.replace("Name: Second", "Name: Build"), "two actions of the stage have the name Build"),
        (ACTION, SECOND.replace("Name: Other", "Name: Out"), "Out is an output artifact of the action Build, too"),
        (named, SECOND.replace("RunOrder: 1", "Namespace: Out"), "another action has the namespace Out, too"),
    )

    for first, second, said in same:
        assert said in refusal(changed(ACTION, first + second)).message


def test_variables_of_pipelines_are_known_ahead_or_exported_before() -> None:
    variables = "[{Name: Color, DefaultValue: red}, {Name: None}, {Name: Unknown, DefaultValue: !GetAtt A.B}]"
    asks = """!Ref Project
                EnvironmentVariables: '[{"name":"A","value":"#{variables.Color} #{Src.Commit} #{First.X}"}]'"""
    second = SECOND.replace("!Ref Project", asks).replace("RunOrder: 1", "RunOrder: 2")
    text = changed(ACTION, ACTION.replace("RunOrder: 1", "Namespace: First") + second)
    text = changed("      Name: shop\n", f"      Name: shop\n      Variables: {variables}\n", text)
    beside = text.replace("#{Src.Commit} ", "").replace("RunOrder: 2", "RunOrder: 1")

    assert stage_of(text, given={"Src.Commit": "3f2c"}).variables == {"variables.Color": "red", "Src.Commit": "3f2c"}
    assert "#{Src.Commit} comes from no earlier action" in refusal(text).message
    assert refusal(text).hint == "say --variable Src.Commit=VALUE"
    assert "#{First.X} comes from no earlier action" in refusal(beside).message


def test_stages_and_pipelines_are_named_when_one_is_not_there() -> None:
    hidden = changed("        - Name: Source\n          Actions: !GetAtt Nothing.Known\n", "        - !If [A, B, C]\n")
    nameless = changed("        - Name: Source\n", "        - Name: !Join ['', [a, b]]\n")
    more = "  Other:\n    Type: AWS::CodePipeline::Pipeline\n    Properties: {Stages: []}\n"
    other = changed("  Project:\n", f"{more}  Project:\n")

    with pytest.raises(NotFound, match="the pipeline shop has no stage 'Prod'") as raised:
        stage_of(TEMPLATE, stage="Prod")
    assert raised.value.hint == "stages: Source, Promote"
    assert stage_of(hidden).name == "Promote"
    assert stage_of(nameless).name == "Promote"
    for text, function in ((hidden, "If"), (nameless, "Join")):
        with pytest.raises(
            ConfigError, match=f"there is no stage 'Prod', unless it is this one: Fn::{function}"
        ) as unknown:
            stage_of(text, stage="Prod")
        assert unknown.value.line == line_of(text, f"!{function}")
    with pytest.raises(UsageError, match="there are several pipelines") as several:
        stage_of(other)
    assert several.value.hint == "say --pipeline with one of: shop, Other"
    assert stage_of(other, pipeline="Pipe").pipeline == stage_of(other, pipeline="shop").pipeline == "shop"
    with pytest.raises(NotFound, match="there is no pipeline 'shopp'"):
        stage_of(other, pipeline="shopp")
    with pytest.raises(NotFound, match="there is no pipeline in these files"):
        stage_of(TEMPLATE[: TEMPLATE.index("  Pipe:")] + TEMPLATE[TEMPLATE.index("  Project:") :])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("just text", "this is no CloudFormation that can be read here"),
        ("- Name: x", "this is no CloudFormation that can be read here"),
        ("a: b", "this is no CloudFormation that can be read here"),
        ("Transform: My::Macro\nResources: {}", "a transform rewrites the template, and My::Macro is not"),
        ("Transform: ['AWS::Serverless-2016-10-31', My]\nResources: {}", "My is not carried out here"),
        ("Resources: [x]", "Resources is not a mapping"),
    ],
)
def test_a_file_that_is_no_template_is_refused(text: str, said: str) -> None:
    error = refusal(text)

    assert said in error.message
    assert (error.path, error.line) == ("t.yaml", 1)


def test_two_files_cannot_have_one_resource() -> None:
    with pytest.raises(ConfigError, match=r"t2\.yaml:3: the resource Project is here a second time; the first is t"):
        stage_of(TEMPLATE, "Resources:\n\n  Project: {Type: 'AWS::S3::Bucket'}")


LINES = TEMPLATE.splitlines()
ODD = (
    "",
    "[]",
    "{}",
    "[[]]",
    "!Ref X",
    "!Ref [a]",
    "!GetAtt A.B",
    "!Sub '${'",
    "!Sub []",
    "1.5",
    "null",
    "'#{'",
    "\u00b2",
    "|",
)
damage = st.lists(
    st.tuples(st.integers(0, len(LINES) - 1), st.sampled_from(("drop", "twice", "deeper", *ODD))),
    min_size=1,
    max_size=3,
)


@given(damage)
def test_a_template_that_is_wrong_somewhere_is_never_more_than_an_error(wounds: list[tuple[int, str]]) -> None:
    lines = list(LINES)
    for number, wound in wounds:
        match wound:
            case "drop":
                lines[number] = ""
            case "twice":
                lines[number] += f"\n{lines[number]}"
            case "deeper":
                lines[number] = f"  {lines[number]}"
            case _:
                lines[number] = f"{lines[number].partition(':')[0]}: {wound}"
    with suppress(LiftlockError):
        assert stage_of("\n".join(lines)).groups
