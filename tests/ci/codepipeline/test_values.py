"""What a template's values are for a run, and what cannot be known."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.ci.codepipeline.cloud import Cloud
from liftlock.ci.codepipeline.files import gather
from liftlock.ci.codepipeline.template import Table
from liftlock.ci.codepipeline.values import Values
from liftlock.errors import AccessDenied, ConfigError, UsageError
from tests.support.aws import ACCOUNT, Moto

REST = """\
Parameters:
  Name: {Type: String, Default: shop}
  Needed: {Type: String}
  Secret: {Type: String, NoEcho: true, Default: hunter22}
  Size: {Type: Number, Default: 3}
  Level: {Type: String, AllowedValues: [dev, prod], Default: dev}
  Zones: {Type: CommaDelimitedList, Default: 'a,b'}
  Image: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /image}
  Odd: {Type: String, Default: 1.10}
Resources:
  Named: {Type: 'AWS::CodeBuild::Project', Properties: {Name: !Sub '${Name}-build'}}
  Nameless: {Type: 'AWS::CodeBuild::Project', Properties: {ServiceRole: x}}
  Loop: {Type: 'AWS::CodeBuild::Project', Properties: {Name: !Sub '${Loop}'}}
  Bucket: {Type: 'AWS::S3::Bucket'}
"""


TEMPLATES = gather([("t.yaml", f"Metadata: {{}}\n{REST}".encode())])


def values(value: str, given: Mapping[str, str] | None = None) -> tuple[Values, Table]:
    """The values of the template, and a table in line 1 that holds ``value``."""
    holder = gather([("t.yaml", f"Value: {{Type: 'A::B', Properties: {{Value: {value}}}}}".encode())])
    properties = holder.resources["Value"].items["Properties"]
    assert isinstance(properties, Table)
    return Values(TEMPLATES, Cloud({}, account=ACCOUNT, region="eu-west-1"), given or {}), properties


def evaluated(value: str, given: Mapping[str, str] | None = None) -> str:
    made, properties = values(value, given)
    return made.text(made.required(properties, "Value"))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("text", "text"),
        ("12", "12"),
        ("true", "true"),
        ("!Ref Name", "shop"),
        ("!Ref Size", "3"),
        ("!Ref Named", "shop-build"),
        ("!Ref Nameless", "Nameless"),
        ("!Ref AWS::Region", "eu-west-1"),
        ("!Ref AWS::AccountId", ACCOUNT),
        ("!Ref AWS::Partition", "aws"),
        ("!Sub '${AWS::AccountId}.ecr.${AWS::Region}.${AWS::URLSuffix}'", f"{ACCOUNT}.ecr.eu-west-1.amazonaws.com"),
        ("!Sub '${Name}/${Named}'", "shop/shop-build"),
        ("!Sub 'a $b $ {c} ${!Name} ${!A.B}'", "a $b $ {c} ${Name} ${A.B}"),
        ("!Sub ['${X}-${Name}', {X: !Ref Level}]", "dev-shop"),
        ("!Sub ['${Name}', {Name: !Sub '${Level}${Size}'}]", "dev3"),
        ("!Sub ['${A.B}', {A.B: own}]", "own"),
        ("{'Fn::Sub': ['${X}', {X: {Ref: Name}}]}", "shop"),
    ],
)
def test_a_value_is_what_cloudformation_makes_of_it(value: str, wanted: str) -> None:
    assert evaluated(value) == wanted


def test_what_is_given_comes_before_defaults_and_stands_for_resources() -> None:
    given = {"Name": "other", "Needed": "", "Bucket": "bucket-7", "AWS::StackName": "stack"}

    assert evaluated("!Sub '${Name},${Needed},${Bucket},${AWS::StackName}'", given) == "other,,bucket-7,stack"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("!GetAtt Bucket.Arn", "Fn::GetAtt is not evaluated here, and the run needs this value"),
        ("!ImportValue x", "Fn::ImportValue is not evaluated here"),
        ("!If [A, b, c]", "Fn::If is not evaluated here"),
        ("!Join ['', [a, b]]", "Fn::Join is not evaluated here"),
        ("{'Fn::Transform': {Name: 'AWS::Include'}}", "Fn::Transform is not evaluated here"),
        ("!Sub ['${X}', {X: !GetAtt A.B}]", "Fn::GetAtt is not evaluated here"),
        ("!Sub '${Bucket.Arn}'", "${Bucket.Arn} is an attribute of a resource"),
        ("!Sub '${Name'", "a ${ has no end"),
        ("!Sub '${a b}'", "'a b' is no name"),
        ("!Sub '${}'", "'' is no name"),
        ("!Sub {a: b}", "Fn::Sub takes a text"),
        ("!Sub [a, b, c]", "Fn::Sub takes a text"),
        ("!Sub [[a], {}]", "Fn::Sub takes a text"),
        ("!Sub [a, b]", "a mapping is needed here"),
        ("!Ref Bucket", "what Ref gives for the resource Bucket (AWS::S3::Bucket)"),
        ("!Ref Nmae", "there is no parameter or resource 'Nmae'"),
        ("!Ref [a]", "Ref is not evaluated here"),
        ("!Ref Needed", "the parameter Needed has no value"),
        ("!Ref Zones", "the parameter Zones is of the type CommaDelimitedList"),
        ("!Ref Image", "is of the type AWS::SSM::Parameter::Value<String>"),
        ("!Ref AWS::NoValue", "Value is missing here"),
        ("!Sub '${AWS::NoValue}'", "AWS::NoValue is no text"),
        ("!Ref AWS::StackName", "AWS::StackName is not known"),
        ("1.10", "YAML takes 1.10 for a number, which may change it"),
        ("0123", "YAML takes 0123 for a number"),
        ("yes", "YAML takes yes for a boolean"),
        ("2024-05-01", "YAML takes 2024-05-01 for a date"),
        ("[a]", "text is needed here"),
        ("{a: b, c: d}", "text is needed here"),
        ("'{{resolve:secretsmanager:x}}'", "a dynamic reference ({{resolve:…) is not followed here"),
        ("!Sub '{{resolve:ssm:${Name}}}'", "a dynamic reference"),
    ],
)
def test_what_cannot_be_known_is_refused_with_its_line(value: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        evaluated(value)

    assert said in raised.value.message
    assert (raised.value.path, raised.value.line) == ("t.yaml", 1)


def test_a_name_that_depends_on_itself_is_refused_where_it_does() -> None:
    with pytest.raises(ConfigError, match=r"t\.yaml:14: the name of Loop depends on itself"):
        evaluated("!Ref Loop")


def test_a_default_that_yaml_would_change_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigError, match=r"t\.yaml:10: YAML takes 1\.10 for a number"):
        evaluated("!Ref Odd")


def test_a_value_that_the_template_does_not_allow_is_refused() -> None:
    with pytest.raises(ConfigError, match="'prodd' is not allowed for the parameter Level") as raised:
        evaluated("!Ref Level", {"Level": "prodd"})

    assert raised.value.hint == "one of: dev, prod"


def test_an_unknown_parameter_is_a_slip() -> None:
    with pytest.raises(UsageError, match="no template has a parameter 'Nmae'") as raised:
        values("x", {"Nmae": "y"})

    assert raised.value.hint == "did you mean 'Name'?"


def test_parameters_that_are_not_echoed_are_remembered_as_secrets() -> None:
    made, properties = values("!Sub 'x${Secret}'")

    assert made.secrets == frozenset()
    assert made.text(made.required(properties, "Value")) == "xhunter22"
    assert made.secrets == {"hunter22"}


def test_templates_may_share_a_parameter_but_not_disagree_about_it() -> None:
    one, other = (f"Parameters: {{P: {{Type: String, Default: {each}}}}}\nResources: {{}}" for each in "ab")
    holder = gather([("v.yaml", b"V: {Type: 'A::B', Value: !Ref P}")]).resources["V"]
    agreeing = Values(gather([("1.yaml", one.encode()), ("2.yaml", one.encode())]), Cloud({}), {})
    differing = Values(gather([("1.yaml", one.encode()), ("2.yaml", other.encode())]), Cloud({}), {})

    assert agreeing.optional(holder, "Value") == "a"
    with pytest.raises(ConfigError, match="the parameter P has several defaults"):
        differing.optional(holder, "Value")


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
        ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
        ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
    ],
)
def test_a_region_says_partition_and_domain(region: str, partition: str, domain: str) -> None:
    cloud = Cloud({"AWS_DEFAULT_REGION": "eu-west-3", "AWS_REGION": region})

    assert (cloud.region, cloud.partition, cloud.domain) == (region, partition, domain)


@pytest.mark.parametrize(("account", "region"), [("12", ""), ("", "Ireland"), ("", "eu-west")])
def test_what_is_no_account_or_region_is_refused(account: str, region: str) -> None:
    with pytest.raises(UsageError, match="is not a"):
        Cloud({}, account=account, region=region)


def test_account_and_region_that_nothing_says_are_asked_of_aws(moto: Moto, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = eu-central-1\n")
    env = {name: value for name, value in moto.env.items() if name != "AWS_DEFAULT_REGION"}
    cloud = Cloud({**env, "HOME": str(tmp_path)})

    assert cloud.known == ("", "")
    assert (cloud.account, cloud.region) == (ACCOUNT, "eu-central-1")
    assert cloud.known == (ACCOUNT, "eu-central-1")


def test_who_is_nobody_at_aws_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AccessDenied, match=r"AWS::AccountId: cannot call sts:GetCallerIdentity"):
        assert Cloud({}, region="eu-west-1").account
    with pytest.raises(ConfigError, match="AWS::Region is not known"):
        assert Cloud({}).region


names = st.sampled_from(["Name", "Size", "Level", "AWS::Region"])
KNOWN = {"Name": "shop", "Size": "3", "Level": "dev", "AWS::Region": "eu-west-1"}
pieces = st.lists(
    st.tuples(st.just("hole"), names)
    | st.tuples(st.just("escaped"), st.text("abc.:", min_size=1, max_size=5))
    | st.tuples(st.just("text"), st.text("ab $}!-", max_size=6)),
    max_size=8,
)


@given(pieces)
def test_sub_replaces_exactly_its_holes(parts: list[tuple[str, str]]) -> None:
    written = {"hole": "${%s}", "escaped": "${!%s}", "text": "%s"}
    meant = {"hole": "%s", "escaped": "${%s}", "text": "%s"}
    text = "".join(written[kind] % part for kind, part in parts)

    assert evaluated(f"!Sub '{text}'") == "".join(
        meant[kind] % (KNOWN[part] if kind == "hole" else part) for kind, part in parts
    )


@given(st.text("ab${}!.: ", max_size=12))
def test_sub_takes_or_refuses_every_text(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(evaluated(f"!Sub '{text}'"), str)


def test_names_that_hold_each_other_twice_and_twice_are_given_up() -> None:
    project = "  P{0}: {{Type: 'AWS::CodeBuild::Project', Properties: {{Name: !Sub '${{P{1}}}${{P{1}}}'}}}}\n"
    chain = "".join(project.format(number, number + 1) for number in range(30))
    last = "  P30: {Type: 'AWS::CodeBuild::Project', Properties: {Name: ''}}\n"
    made = Values(gather([("t.yaml", f"Resources:\n{chain}{last}".encode())]), Cloud({}), {})

    with pytest.raises(ConfigError, match="put together of too many others"):
        made.project_name("P0")
