"""The distribution protocol's rules without I/O: paths, scopes, challenges, links, upload locations, error bodies.

Source: OCI distribution spec 1.1; RFC 9110 section 11 (challenges); RFC 8288 (``Link``).

``urllib.parse`` and compiled patterns are left to the functions that need them: most runs meet no challenge, no second
page and no upload, and all of them would pay 2 ms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from liftlock.oci.digest import Digest
from liftlock.typed import NamedTuple

__all__ = [
    "Challenge",
    "Scope",
    "blob_path",
    "error_codes",
    "fallback_tag",
    "manifest_path",
    "next_link",
    "parse_challenges",
    "referrers_path",
    "tags_path",
    "upload_location",
    "uploads_path",
]

MAX_ERRORS_SHOWN = 4


class Scope(NamedTuple):
    """What a token is for: actions (``pull``, ``push``, ``delete``) on one repository, or on ``catalog``."""

    repository: str
    actions: frozenset[str]
    kind: str = "repository"

    def __str__(self) -> str:
        usual = [action for action in ("pull", "push", "delete", "*") if action in self.actions]
        ordered = [*usual, *sorted(self.actions.difference(usual))]
        return f"{self.kind}:{self.repository}:{','.join(ordered)}"


class Challenge(NamedTuple):
    """One offer of a ``WWW-Authenticate`` header: the scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def manifest_path(repository: str, reference: str) -> str:
    """Where a manifest is, by tag or digest."""
    return f"/v2/{repository}/manifests/{reference}"


def blob_path(repository: str, digest: str) -> str:
    """Where a blob is."""
    return f"/v2/{repository}/blobs/{digest}"


def uploads_path(repository: str, **query: str) -> str:
    """Where uploads start; ``mount=…, origin=…`` asks for a mount (``origin`` is the spec's ``from``).

    Digests and names of repositories have no character that a query would have to escape.
    """
    if "origin" in query:
        query["from"] = query.pop("origin")
    pairs = "&".join(f"{name}={value}" for name, value in query.items())
    return f"/v2/{repository}/blobs/uploads/" + (f"?{pairs}" if pairs else "")


def tags_path(repository: str, n: int = 1000) -> str:
    """The tag list. At most 1000 a page: some registries refuse more (go-containerregistry#1091)."""
    return f"/v2/{repository}/tags/list?n={n}"


def referrers_path(repository: str, digest: str, artifact_type: str = "") -> str:
    """Where the list of a digest's referrers is; registries may ignore the filter."""
    path = f"/v2/{repository}/referrers/{digest}"
    if not artifact_type:
        return path
    from urllib.parse import quote

    return f"{path}?artifactType={quote(artifact_type, safe='')}"


def fallback_tag(digest: Digest, suffix: str = "") -> str:
    """The tag that stands for "referrers of" where there is no API; with ``.sig``, ``.att``, ``.sbom``: cosign's.

    Distribution spec 1.1, "Referrers tag schema": at most 32 characters of algorithm, 64 of the encoded digest.
    """
    return f"{digest.algorithm[:32]}-{digest.hex[:64]}{suffix}"


def upload_location(request_url: str, location: str, digest: str) -> str:
    """Where the upload's PUT goes: ``Location`` as it came, completed from the request, ``digest`` appended.

    Without a digest it is where the upload's PATCH goes. It may be relative, and may have query parameters which the
    registry needs back; it is never rebuilt.
    """
    from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

    url = urljoin(request_url, location)
    if not digest:
        return url
    parts = urlsplit(url)
    joint = "&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{parts.query}{joint}{urlencode({'digest': digest}, safe=':')}"))


_CHALLENGE_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_CHALLENGE = (
    rf"[\s,]*(?:(?P<key>{_CHALLENGE_TOKEN})\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>{_CHALLENGE_TOKEN}))"
    rf"|(?P<scheme>{_CHALLENGE_TOKEN})(?=\s|,|$)(?:\s+(?P<token68>[A-Za-z0-9\-._~+/]+=*)(?=\s*(?:,|$)))?)"
)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read every challenge of the given ``WWW-Authenticate`` headers, in order; what cannot be read is skipped."""
    found: list[Challenge] = []
    pattern = re.compile(_CHALLENGE)
    for header in headers:
        position = 0
        parameters: dict[str, str] = {}
        while match := pattern.match(header, position):
            if match.end() == position:
                break
            position = match.end()
            if match["scheme"]:
                parameters = {}
                found.append(Challenge(match["scheme"].lower(), parameters))
            elif found:
                quoted = match["quoted"]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["plain"]
                parameters[match["key"].lower()] = value
    return found


_LINK = r"<([^>]*)>\s*((?:;[^,;]*)*)"


def next_link(headers: Iterable[str], request_url: str) -> str | None:
    """The URL of the next page, from ``Link: <…>; rel="next"``, completed from the request; None on the last page."""
    for header in headers:
        for match in re.finditer(_LINK, header):
            if re.search(r";\s*rel\s*=\s*\"?next\"?\s*(;|$)", match[2], re.IGNORECASE):
                from urllib.parse import urljoin

                return str(urljoin(request_url, match[1]))
    return None


def error_codes(body: bytes) -> tuple[tuple[str, ...], str]:
    """The codes of an error body, and its messages as one line; both empty when it is no such body.

    A ``detail`` that is a sentence belongs to the message: Nexus says only there what is wrong
    (GoogleContainerTools/jib#3057).
    """
    try:
        errors = json.loads(body)["errors"]
        pairs = [(str(item.get("code") or ""), _sentence(item)) for item in errors[:MAX_ERRORS_SHOWN]]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return (), ""
    codes = tuple(code for code, _ in pairs if code)
    return codes, "; ".join(" ".join(message.split())[:400] for _, message in pairs if message)


def _sentence(error: Mapping[str, object]) -> str:
    message, detail = str(error.get("message") or ""), error.get("detail")
    return f"{message}: {detail}" if isinstance(detail, str) and detail else message
