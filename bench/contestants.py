"""How each tool is told to do the same thing. Peers that are not on PATH take no part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Command

__all__ = ["Contestants"]


class Contestants:
    """The commands of every tool that is there, for one bench folder."""

    def __init__(self, folder: Path, liftlock: Path, *, ca: Path | None = None) -> None:
        self.ca = ca
        self._liftlock = liftlock
        self._env = {
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "home/cache"),
            "XDG_STATE_HOME": str(folder / "home/state"),
        }
        (folder / "home").mkdir(exist_ok=True)
        self._certificates = folder / "certificates"
        self._regctl = folder / "regctl.json"
        if ca is not None:
            self._certificates.mkdir(exist_ok=True)
            shutil.copy(ca, self._certificates / "ca.crt")

    def liftlock(self, *arguments: str | Path, tool: str = "liftlock") -> Command:
        tls: list[str | Path] = ["--ca-file", self.ca] if self.ca and arguments[0] in ("copy", "tag") else []
        return Command(tool, [self._liftlock, *arguments[:1], *tls, *arguments[1:]], self._env)

    def peers_copy(self, source: str, destination: str) -> list[Command]:
        """``source`` and ``destination``: ``host/repository:tag``."""
        found = [
            Command(
                "skopeo",
                [*self._skopeo("copy"), *self._skopeo_tls(), "--all", f"docker://{source}", f"docker://{destination}"],
                self._env,
            )
        ]
        if shutil.which("crane"):
            found.append(Command("crane", ["crane", "copy", "--insecure", source, destination], self._env))
        if shutil.which("regctl"):
            hosts = {name.partition("/")[0] for name in (source, destination)}
            found.append(Command("regctl", ["regctl", "image", "copy", source, destination], self._regctl_env(hosts)))
        return found

    def peers_sync(self, source: str, destination_host: str) -> list[Command]:
        """Every tag of the repository ``source`` to the same repository of another host."""
        arguments = ["--src", "docker", "--dest", "docker", source, destination_host]
        return [Command("skopeo sync", [*self._skopeo("sync"), *self._skopeo_tls(), *arguments], self._env)]

    def peers_unpack(self, archive: Path, layout: Path) -> list[Command]:
        """A docker-save tar into an OCI layout."""
        return [Command("skopeo", [*self._skopeo("copy"), f"docker-archive:{archive}", f"oci:{layout}:x"], self._env)]

    def _skopeo(self, verb: str) -> Sequence[str]:
        return ["skopeo", "--insecure-policy", verb]

    def _skopeo_tls(self) -> Sequence[str]:
        if self.ca is None:
            return ["--src-tls-verify=false", "--dest-tls-verify=false"]
        return ["--src-cert-dir", str(self._certificates), "--dest-cert-dir", str(self._certificates)]

    def _regctl_env(self, hosts: set[str]) -> dict[str, str]:
        tls = {"tls": "enabled", "regcert": self.ca.read_text()} if self.ca else {"tls": "disabled"}
        self._regctl.write_text(json.dumps({"hosts": dict.fromkeys(hosts, tls)}))
        return {**self._env, "REGCTL_CONFIG": str(self._regctl)}
