"""Docker's commands: those that are served here, with their options, and those that are not this program's job."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.ci.docker.flags import Flag
from liftlock.typed import NamedTuple

__all__ = ["COMMANDS", "ELSEWHERE", "GLOBAL", "IMAGE", "Command", "usage"]


class Command(NamedTuple):
    """One command: where it is, how it is written, and how many arguments it takes (``most`` None: any number)."""

    function: str
    """``module:function``, imported when it runs."""
    synopsis: str
    summary: str
    least: int
    most: int | None
    flags: Sequence[Flag] = ()


_ONE_PLATFORM = "an image is kept, saved and pushed with all its platforms; pull takes --platform"
_QUIET = Flag("quiet", "q", "Suppress verbose output")
_TRUST = Flag("disable-content-trust", help="Skip image verification (which is not done here)")
_PLATFORM = Flag("platform", kind="string", refused=_ONE_PLATFORM)
_FORMAT = Flag("format", "f", "Format output using a custom template, such as '{{.Id}}'", "string")

COMMANDS = {
    "login": Command(
        "login:login",
        "[OPTIONS] [SERVER]",
        "Authenticate to a registry",
        0,
        1,
        (
            Flag("password", "p", "Password or Personal Access Token (PAT)", "string"),
            Flag("password-stdin", "", "Take the Password or Personal Access Token (PAT) from stdin"),
            Flag("username", "u", "Username", "string"),
        ),
    ),
    "logout": Command("login:logout", "[SERVER]", "Log out from a registry", 0, 1),
    "pull": Command(
        "pull:pull",
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        "Download an image from a registry",
        1,
        1,
        (
            Flag("all-tags", "a", "Download all tagged images in the repository"),
            _TRUST,
            Flag("eager", "", "Bring the layers too, not only the manifests (liftlock's own)"),
            Flag("platform", "", "Take this platform's image only: os[/arch[/variant]]", "string"),
            _QUIET,
        ),
    ),
    "push": Command(
        "push:push",
        "[OPTIONS] NAME[:TAG]",
        "Upload an image to a registry",
        1,
        1,
        (Flag("all-tags", "a", "Push all tags of an image to the repository"), _TRUST, _PLATFORM, _QUIET),
    ),
    "tag": Command(
        "local:tag",
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        2,
        2,
    ),
    "save": Command(
        "save:save",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        1,
        None,
        (Flag("output", "o", "Write to a file, instead of STDOUT", "string"), _PLATFORM),
    ),
    "load": Command(
        "load:load",
        "[OPTIONS]",
        "Load an image from a tar archive or STDIN",
        0,
        0,
        (
            Flag("input", "i", "Read from tar archive file, instead of STDIN", "string"),
            _PLATFORM,
            Flag("quiet", "q", "Suppress the load output"),
        ),
    ),
    "images": Command(
        "images:images",
        "[OPTIONS] [REPOSITORY[:TAG]]",
        "List images",
        0,
        1,
        (
            Flag("all", "a", "Show all images"),
            Flag("digests", "", "Show digests"),
            Flag("filter", "f", kind="string", refused="it lists by name; grep what it prints"),
            Flag("format", "", "Format output using a template, such as '{{.Repository}}:{{.Tag}}'", "string"),
            Flag("no-trunc", "", "Don't truncate output"),
            Flag("quiet", "q", "Only show image IDs"),
            Flag("tree", refused="it lists by name"),
        ),
    ),
    "history": Command(
        "history:history",
        "[OPTIONS] IMAGE",
        "Show the history of an image",
        1,
        1,
        (
            Flag("format", "", "Format output using a template, such as '{{.CreatedBy}}'", "string"),
            Flag("human", "H", "Print sizes and dates in human readable format (always)"),
            Flag("no-trunc", "", "Don't truncate output"),
            _PLATFORM,
            Flag("quiet", "q", "Only show image IDs"),
        ),
    ),
    "info": Command("daemon:info", "[OPTIONS]", "Display system-wide information", 0, 0, (_FORMAT,)),
    "inspect": Command(
        "inspect:inspect",
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Return low-level information on Docker objects",
        1,
        None,
        (
            _FORMAT,
            Flag("size", "s", "Display total file sizes if the type is container"),
            Flag("type", "", "Only inspect objects of the given type", "string"),
        ),
    ),
    "ps": Command(
        "daemon:ps",
        "[OPTIONS]",
        "List containers (there are none)",
        0,
        0,
        (Flag("all", "a", "Show all containers"), Flag("quiet", "q", "Only display container IDs")),
    ),
    "rmi": Command(
        "local:remove",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Remove one or more images",
        1,
        None,
        (
            Flag("force", "f", "Force removal of the image"),
            Flag("no-prune", "", "Do not delete untagged parents (there are none)"),
            _PLATFORM,
        ),
    ),
    "version": Command("version:version", "[OPTIONS]", "Show the Docker version information", 0, 0, (_FORMAT,)),
}
"""What is served, by name."""

_IMAGE_INSPECT = Command(
    "inspect:inspect_image",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    1,
    None,
    (_FORMAT, _PLATFORM),
)
_VERBS = ("history", "load", "pull", "push", "save", "tag")
IMAGE = {
    **{verb: COMMANDS[verb] for verb in _VERBS},
    "inspect": _IMAGE_INSPECT,
    "list": COMMANDS["images"],
    "ls": COMMANDS["images"],
    "remove": COMMANDS["rmi"],
    "rm": COMMANDS["rmi"],
}
"""The commands below ``docker image``."""

ELSEWHERE = frozenset({
    "attach", "bake", "build", "builder", "buildx", "checkpoint", "commit", "compose", "config", "container",
    "context", "cp", "create", "diff", "events", "exec", "export", "import", "kill", "logs", "manifest",
    "network", "node", "pause", "plugin", "port", "prune", "rename", "restart", "rm", "run", "scout",
    "search", "secret", "service", "stack", "start", "stats", "stop", "swarm", "system", "top", "trust", "unpause",
    "update", "volume", "wait",
})  # fmt: skip
"""Docker's commands that this program does not have, also below ``docker image``."""

_NO_DAEMON = "there is no daemon here, and none is asked"
GLOBAL = (
    Flag("config", "", "Location of client config files", "string"),
    Flag("context", "c", kind="string", refused=_NO_DAEMON),
    Flag("debug", "D", "Enable debug mode: show the requests that are made"),
    Flag("host", "H", kind="string", refused=_NO_DAEMON),
    Flag("log-level", "l", "Set the logging level (debug, info, warn, error, fatal)", "string"),
    Flag("tls", refused=_NO_DAEMON),
    Flag("tlscacert", kind="string", refused=_NO_DAEMON),
    Flag("tlscert", kind="string", refused=_NO_DAEMON),
    Flag("tlskey", kind="string", refused=_NO_DAEMON),
    Flag("tlsverify", refused=_NO_DAEMON),
    Flag("version", "v", "Print version information and quit"),
)
"""The options before a command."""


def usage(path: str, synopsis: str, word: str = "Run") -> str:
    """What docker prints below a complaint; ``path`` is the command as typed, ``docker image push``."""
    return f"Usage:  {path} {synopsis}\n\n{word} '{path} --help' for more information"
