"""``script/bench [CASE…]``: measure, print the tables; ``--write`` puts them into docs/performance.md.

``script/bench engine`` measures the release engine alone; without a case, everything is measured.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from bench import engine
from bench.cases import CASES, GIGABYTE, Bench
from bench.table import Row, render, write

ENGINE = "engine"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> None:
    """Parse, run the cases one after the other, print."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"of {', '.join([*CASES, ENGINE])}; all when none is named"
    )
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each tool (default: 5)")
    parser.add_argument("--size", type=int, default=GIGABYTE, help="bytes of the large image (default: 1 GB)")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    script = Path(sys.executable).with_name("liftlock")
    parser.add_argument("--liftlock", type=Path, default=script, metavar="PATH", help="what is measured: %(default)s")
    arguments = parser.parse_args()
    known = [*CASES, ENGINE]
    cases = arguments.cases or known
    unknown = [name for name in cases if name not in known]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(known)}")
    memory = Path("/dev/shm")
    room = memory.is_dir() and shutil.disk_usage(memory).free > 8 * arguments.size
    with tempfile.TemporaryDirectory(prefix="liftlock-bench-", dir=memory if room else None) as folder:
        bench = Bench(Path(folder), arguments.runs, arguments.size, arguments.liftlock)
        rows: list[Row] = []
        for name in (name for name in cases if name != ENGINE):
            print(f"{name} ", end="", file=sys.stderr, flush=True)
            rows.extend(CASES[name](bench))
            print(file=sys.stderr)
        if rows:
            show(render(rows, arguments.runs), "bench", keep=arguments.write)
        if ENGINE in cases:
            figures = []
            for figure in engine.measure(Path(folder)):
                print(f"{figure.database}: {figure.case}: {figure.measured}", file=sys.stderr, flush=True)
                figures.append(figure)
            show(engine.table(figures), ENGINE, keep=arguments.write)


def show(table: str, mark: str, *, keep: bool) -> None:
    """Print a table; with ``keep`` it is also put between its marks in the page."""
    print(table)
    if keep:
        write(PAGE, mark, table)


main()
