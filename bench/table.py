"""The table that is printed, and written into docs/performance.md between its two marks."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import Series

__all__ = ["Row", "Target", "render", "write"]


@dataclass(frozen=True)
class Target:
    """What was promised: a figure of ours, as a share of a peer's, or in seconds or bytes where ``of`` is empty."""

    figure: str
    """``wall``, ``cpu`` or ``memory``."""
    at_most: float
    of: str = ""


@dataclass(frozen=True)
class Row:
    """One case: what was measured, ours first, and what was promised."""

    case: str
    series: Sequence[Series]
    targets: Sequence[Target]

    def verdicts(self) -> list[str]:
        """Each target with what was measured; a peer that was not there is said to be not measured."""
        ours = self.series[0]
        said = []
        for target in self.targets:
            mine = float(getattr(ours, target.figure))
            if not target.of:
                unit = 1e-3 if target.figure != "memory" else 1 << 20
                name = "ms" if target.figure != "memory" else "MB"
                good = mine <= target.at_most
                shown = f"{mine / unit:.0f} {name} (≤ {target.at_most / unit:.0f})"
            else:
                peer = next((series for series in self.series[1:] if series.tool == target.of), None)
                if peer is None:
                    said.append(f"{target.figure} against {target.of}: not measured")
                    continue
                ratio = mine / float(getattr(peer, target.figure))
                good = ratio <= target.at_most
                shown = f"{ratio:.2f} of {target.of} (≤ {target.at_most:g})"
            said.append(f"{target.figure} {shown} {'✓' if good else '✗'}")
        return said


def render(rows: Sequence[Row], runs: int) -> str:
    """Markdown: medians of wall and processor milliseconds, peak memory, and the targets."""
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `script/bench`, medians of {runs} interleaved runs.",
        f"{os.cpu_count()} cores for the tools and both registries together, Python {platform.python_version()}.",
        "",
        "| case | tool | wall ms | CPU ms | memory MB | target |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        for position, series in enumerate(row.series):
            first = position == 0
            lines.append(
                f"| {row.case if first else ''} | {series.tool} | {series.wall * 1e3:.0f} | {series.cpu * 1e3:.0f} "
                f"| {series.memory / (1 << 20):.0f} | {'<br>'.join(row.verdicts()) if first else ''} |"
            )
    return "\n".join(lines) + "\n"


def write(page: Path, mark: str, table: str) -> None:
    """Put a table between the page's marks of this name."""
    marks = re.compile(rf"(<!-- {mark}: begin -->\n).*(<!-- {mark}: end -->)", re.DOTALL)
    text, count = marks.subn(lambda match: f"{match[1]}{table}{match[2]}", page.read_text())
    if count != 1:
        raise SystemExit(f"{page} has no marks for {mark}")
    page.write_text(text)
