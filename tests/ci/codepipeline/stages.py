"""Templates for the tests of stages: one that is right, and changes to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from liftlock.ci.codepipeline.cloud import Cloud
from liftlock.ci.codepipeline.files import gather
from liftlock.ci.codepipeline.stage import Stage, read_stage
from liftlock.ci.codepipeline.values import Values

ACTION = """\
            - Name: Build
              ActionTypeId: {Category: Build, Owner: AWS, Provider: CodeBuild, Version: 1}
              Configuration:
                ProjectName: !Ref Project
              InputArtifacts:
                - Name: App
              OutputArtifacts:
                - Name: Out
              RunOrder: 1
"""

TEMPLATE = f"""\
Resources:
  Pipe:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: shop
      RoleArn: !GetAtt Role.Arn
      Stages:
        - Name: Source
          Actions: !GetAtt Nothing.Known
        - Name: Promote
          Actions:
{ACTION}
  Project:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: promote
      Artifacts:
        Type: CODEPIPELINE
      Source:
        Type: CODEPIPELINE
        BuildSpec: spec.yml
      Environment:
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/standard:7.0
        Type: LINUX_CONTAINER
        PrivilegedMode: true
        EnvironmentVariables:
          - Name: TAG
            Value: latest
      ServiceRole: !GetAtt Role.Arn
"""


def line_of(text: str, part: str) -> int:
    """The line (from 1) of a text that has this part."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def changed(old: str, new: str, text: str = TEMPLATE) -> str:
    """The template with one part replaced."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


def stage_of(
    *texts: str,
    stage: str = "Promote",
    pipeline: str = "",
    inputs: Mapping[str, Path] | None = None,
    given: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Stage:
    """The stage of templates that are called ``t.yaml``, ``t2.yaml``, …"""
    files = [(f"t{number if number > 1 else ''}.yaml", text.encode()) for number, text in enumerate(texts, 1)]
    templates = gather(files)
    values = Values(templates, Cloud({}, account="123456789012", region="eu-west-1"), parameters or {})
    folders = {"App": Path()} if inputs is None else inputs
    return read_stage(templates, values, pipeline=pipeline, stage=stage, given=given or {}, inputs=folders)
