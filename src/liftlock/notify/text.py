"""A message in words, for people."""

from __future__ import annotations

import shlex

from liftlock.notify.base import Message

__all__ = ["body", "title"]

_TITLES = {
    "success": "{release} is in {stage}",
    "failure": "{release} did not get into {stage}",
    "waiting": "{release} waits for {stage}",
    "approval-needed": "{release} needs approval for {stage}",
}
_NEXT = {
    "failure": (("To try again", "promote"),),
    "waiting": (("To see what would clear it", "explain"),),
    "approval-needed": (("To approve", "approve"), ("To refuse", "reject")),
}


def title(message: Message) -> str:
    """What happened, in one line."""
    said = _TITLES.get(message.occasion, "{release}, {stage}: {occasion}")
    said = said.format(release=message.release.name, stage=message.stage, occasion=message.occasion)
    return f"{message.release.pipeline.name}: {said}"


def body(message: Message) -> str:
    """What happened, why, what is waited for, which images, and which command comes next; plain text in lines."""
    artifact = message.release.artifact
    lines = [f"Promotion {message.promotion} of {message.release.name} to {message.stage}: {message.state}."]
    if message.reason:
        lines.append(message.reason)
    if message.waiting_for:
        lines += ["", "Waiting for:", *(f"- {each}" for each in message.waiting_for)]
    if message.destinations:
        lines += ["", "Images:"]
        for each in message.destinations:
            tags = f" ({', '.join(each.tags)})" if each.tags else ""
            lines.append(f"- {each.target}@{each.digest.algorithm}:{each.digest.short}{tags}")
    facts = [f"{name} {value}" for name, value in (("build", artifact.build), ("commit", artifact.commit)) if value]
    if facts:
        lines += ["", f"From {', '.join(facts)}."]
    steps = _NEXT.get(message.occasion, ())
    if steps:
        arguments = shlex.join([message.release.name, "--to", message.stage])
        lines += ["", *(f"{what}: liftlock {verb} {arguments}" for what, verb in steps)]
    return "\n".join(lines)
