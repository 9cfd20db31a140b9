"""Which files get into an artifact, and that nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.ci.buildspec.artifacts import _pattern
from liftlock.ci.buildspec.result import BuildStatus
from liftlock.errors import ConfigError
from tests.ci.buildspec.conftest import Build, Ran

TREE = (
    "a.txt", ".hidden", "b.log", "out/c.txt", "out/.d", "out/deep/e.txt", "out/deep/er/f.txt", "out2/g.txt",
    "my-build1/h.txt", "my-build2/i.txt", "my-build2/sub/j.txt", "na[m]e/k*.txt",
)  # fmt: skip


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "artifacts" / "here"


@pytest.fixture
def collected(build: Build, source: Path, target: Path) -> object:
    """Runs a build whose only work is to collect, and tells the files."""
    for name in TREE:
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)

    def run_it(section: str) -> Ran:
        text = "version: 0.2\nphases:\n  build: {commands: [true]}\nartifacts:\n"
        return build(text + "".join(f"  {line}\n" for line in section.splitlines()), artifacts=target)

    return run_it


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("files: ['**/*']", sorted(TREE)),
        ("files: ['**']", sorted(TREE)),
        ("files: ['*']", [".hidden", "a.txt", "b.log"]),
        ("files: ['*.txt', b.log]", ["a.txt", "b.log"]),
        ("files: [./out/c.txt]", ["out/c.txt"]),
        ("files: ['out/*']", ["out/.d", "out/c.txt"]),
        ("files: ['out/**/*']", ["out/.d", "out/c.txt", "out/deep/e.txt", "out/deep/er/f.txt"]),
        ("files: ['out/**/f.txt']", ["out/deep/er/f.txt"]),
        ("files: ['**/deep/*']", ["out/deep/e.txt"]),
        ("files: ['out?/[g-h].txt']", ["out2/g.txt"]),
        ("files: ['out?/[!a-f].txt']", ["out2/g.txt"]),
        ("files: ['out?/[!-a-f].txt']", ["out2/g.txt"]),
        ("files: ['na[[]m]e/*']", ["na[m]e/k*.txt"]),
        ("files: ['**/*']\nbase-directory: out", [".d", "c.txt", "deep/e.txt", "deep/er/f.txt"]),
        ("files: ['*/j.txt']\nbase-directory: my-build2", ["sub/j.txt"]),
        ("files: ['**/*']\nbase-directory: 'my-build*'", ["h.txt", "i.txt", "sub/j.txt"]),
        ("files: ['**/*']\nbase-directory: 'my-build*'\ndiscard-paths: yes", ["h.txt", "i.txt", "j.txt"]),
        ("files: ['**/*']\nbase-directory: ./\nexclude-paths: ['**/*.txt', .hidden]", ["b.log", "out/.d"]),
        ("files: ['out/**/*', out/c.txt, nothing]", ["out/.d", "out/c.txt", "out/deep/e.txt", "out/deep/er/f.txt"]),
    ],
)
def test_patterns(section: str, expected: list[str], collected: object, target: Path) -> None:
    ran: Ran = collected(section)  # type: ignore[operator]
    found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())

    assert found == expected
    assert list(ran.result.artifacts[""].files) == expected
    assert f"Found {len(expected)} file(s)" in ran.said
    assert ran.phases["UPLOAD_ARTIFACTS"] == "SUCCEEDED"


@given(st.text("ab*?[]!^-&~|\\/.", min_size=1, max_size=8), st.text("ab-[/.", min_size=1, max_size=5))
def test_any_pattern_is_one_and_names_mean_themselves(pattern: str, name: str) -> None:
    _pattern(pattern).fullmatch(name)  # and no warning of a set within a set

    assert _pattern(pattern.translate(str.maketrans("", "", "*?["))) is not None
    plain = "/".join(part for part in name.replace("[", "").split("/") if part not in {"", "."})
    assert _pattern(plain).fullmatch(plain)


def test_content_and_rights_are_kept(commands: Build, build: Build, target: Path) -> None:
    build(
        "version: 0.2\nphases:\n  build: {commands: [printf '#!/bin/sh' > run, chmod 755 run]}\n"
        "artifacts: {files: [run]}\n",
        artifacts=target,
    )

    assert (target / "run").read_text() == "#!/bin/sh"
    assert (target / "run").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("section", "message", "line"),
    [
        ("files: [nothing, '*.exe']", "no matching artifact paths found", 5),
        ("files: [out]", "no matching artifact paths found", 5),
        ("files: ['**/*']\nbase-directory: target", "no matching base directory path found for target", 6),
        ("files: ['**/*']\nexclude-paths: ['**/*']", "no matching artifact paths found", 5),
    ],
)
def test_nothing_to_collect_fails_the_build(section: str, message: str, line: int, collected: object) -> None:
    ran: Ran = collected(section)  # type: ignore[operator]

    assert ran.result.status is BuildStatus.FAILED
    assert ran.result.failure is not None
    assert (ran.result.failure.phase, ran.result.failure.message, ran.result.failure.line) == (
        "UPLOAD_ARTIFACTS",
        message,
        line,
    )
    assert f"Phase context status code: CLIENT_ERROR Message: {message}" in ran.said


@pytest.mark.parametrize(
    ("link", "files", "base", "message"),
    [
        ("ln -s ../../secret out/link", "'**/*'", "out", "link is a link that leads out of"),
        ("ln -s /etc/hostname out/link", "out/link", ".", "out/link is a link that leads out of"),
        ("ln -s ../a.txt out/link", "'*'", "out", "is a link that leads out of"),
        ("ln -s nowhere out/link", "'*'", "out", "link is a link that leads to no file"),
        ("ln -s / root", "root/etc/hostname", ".", "no matching artifact paths found"),
        ("ln -s / root", "'*'", "root", "no matching base directory"),
        ("ln -s .. out/up", "'**/nothing'", ".", "no matching artifact paths found"),
    ],
)
def test_links_lead_nowhere_else(link: str, files: str, base: str, *, message: str, build: Build, target: Path) -> None:
    ran = build(
        "version: 0.2\nphases:\n"
        f"  build: {{commands: [mkdir out, echo a > a.txt, echo secret > ../secret, {link}]}}\n"
        f"artifacts:\n  files: [{files}]\n  base-directory: {base}\n",
        artifacts=target,
    )

    assert ran.result.failure is not None, ran.result
    assert message in ran.result.failure.message
    assert not target.exists() or not any("secret" in file.read_text() for file in target.rglob("*") if file.is_file())


def test_a_link_within_the_base_is_collected_as_its_file(build: Build, target: Path) -> None:
    build(
        "version: 0.2\nphases:\n  build: {commands: [echo a > a.txt, ln -s a.txt latest]}\n"
        "artifacts: {files: [latest]}\n",
        artifacts=target,
    )

    assert (target / "latest").read_text() == "a\n"
    assert not (target / "latest").is_symlink()


def test_two_files_of_one_name_are_not_one(build: Build, target: Path) -> None:
    ran = build(
        "version: 0.2\nphases:\n  build: {commands: [mkdir a b, touch a/x b/x]}\n"
        "artifacts: {files: ['**/*'], discard-paths: yes}\n",
        artifacts=target,
    )

    assert ran.result.failure is not None
    assert "would both be x" in ran.result.failure.message


def test_artifacts_are_collected_after_a_failed_build(build: Build, target: Path) -> None:
    ran = build(
        "version: 0.2\nphases:\n  build: {commands: [touch report, (exit 1)]}\nartifacts: {files: [report]}\n",
        artifacts=target,
    )

    assert ran.result.status is BuildStatus.FAILED
    assert (target / "report").exists()


def test_a_folder_for_artifacts_within_the_source_is_not_collected(build: Build, source: Path) -> None:
    ran = build(
        "version: 0.2\nphases:\n  build: {commands: [touch a]}\nartifacts: {files: ['**/*']}\n",
        artifacts=source / "out",
    )

    assert ran.result.artifacts[""].files == ("a",)


def test_a_folder_is_not_collected_into_itself(build: Build, source: Path) -> None:
    text = (
        "version: 0.2\nphases:\n  build: {commands: [mkdir out && touch out/a]}\n"
        "artifacts: {files: ['**/*'], base-directory: out}\n"
    )

    failure = build(text, artifacts=source / "out").result.failure

    assert failure is not None
    assert failure.message == f"{source / 'out'} is where artifacts are collected to"


def test_one_artifact_does_not_hold_the_other(build: Build, source: Path) -> None:
    ran = build(
        "version: 0.2\nphases:\n  build: {commands: [touch a]}\n"
        "artifacts:\n  files: ['**/*']\n  secondary-artifacts:\n    All: {files: ['**/*']}\n",
        artifacts=source / "out" / "primary",
        secondary_artifacts={"All": source / "out" / "All"},
    )

    assert [each.files for each in ran.result.artifacts.values()] == [("a",), ("a",)]


def test_secondary_artifacts_go_into_folders_of_their_own(build: Build, tmp_path: Path) -> None:
    ran = build(
        "version: 0.2\nphases:\n  build: {commands: [touch a b c]}\n"
        "artifacts:\n  files: [a]\n  secondary-artifacts:\n    One: {files: [b]}\n    Two: {files: [c]}\n",
        artifacts=tmp_path / "0",
        secondary_artifacts={"One": tmp_path / "1"},
    )

    assert (tmp_path / "0" / "a").exists()
    assert (tmp_path / "1" / "b").exists()
    assert list(ran.result.artifacts) == ["", "One"]
    assert "Not collected, because no folder is named for it: artifact Two" in ran.said


@pytest.mark.parametrize(
    ("name", "expected"),
    [("app", "app"), ("app-$VERSION-$(echo 7)", "app-1.4-7"), ('"it\'s" `echo 1`', '"it\'s" 1')],
)
def test_the_name_is_expanded_by_the_shell(name: str, expected: str, build: Build, target: Path) -> None:
    quoted = name.replace("'", "''")
    ran = build(
        f"version: 0.2\nphases:\n  build: {{commands: [touch a, VERSION=1.4]}}\n"
        f"artifacts:\n  files: [a]\n  name: '{quoted}'\n",
        artifacts=target,
    )

    assert ran.result.artifacts[""].name == expected


@pytest.mark.parametrize("name", ["../up", "$NOTHING", ".."])
def test_a_name_that_is_none_fails_the_build(name: str, build: Build, target: Path) -> None:
    ran = build(
        f"version: 0.2\nphases:\n  build: {{commands: [touch a]}}\nartifacts:\n  files: [a]\n  name: {name}\n",
        artifacts=target,
    )

    assert ran.result.failure is not None
    assert (ran.result.failure.line, "the artifact's name became" in ran.result.failure.message) == (6, True)


def test_a_folder_that_holds_something_is_refused_before_anything_runs(build: Build, source: Path) -> None:
    (source / "out").mkdir()
    (source / "out" / "old").touch()

    with pytest.raises(ConfigError, match="is not empty"):
        build("version: 0.2\nphases:\n  build: {commands: [touch ran]}\n", artifacts=source / "out")
    assert not (source / "ran").exists()
