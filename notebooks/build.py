"""Makes notebooks/*.ipynb of notebooks/sources/*.py, executed. Use: python notebooks/build.py [NUMBER…].

Sources are plain Python in cells that begin with ``# %%``; ``# %% [markdown]`` cells are text in comments.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER / "sources"
CELL_LIMIT_S = 120


def cells(text: str) -> list[tuple[str, str]]:
    """(kind, source) of each cell of a source: kind is markdown or code."""
    found = []
    for part in text.split("# %%")[1:]:
        head, _, body = part.partition("\n")
        if head.strip() == "[markdown]":
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()]
            found.append(("markdown", "\n".join(lines)))
        else:
            found.append(("code", body.strip()))
    return found


def notebook(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, not executed; equal sources give equal notebooks."""
    node = nbformat.v4.new_notebook()
    node.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    node.cells = [
        make[kind](text, id=f"cell{number}") for number, (kind, text) in enumerate(cells(source.read_text("utf-8")))
    ]
    return node


def execute(node: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run every cell in a kernel whose folder is that of the notebooks; an exception in a cell is raised."""
    NotebookClient(
        node, timeout=CELL_LIMIT_S, resources={"metadata": {"path": str(FOLDER)}}, record_timing=False
    ).execute()
    return node


def sources(asked: list[str]) -> list[Path]:
    """Sources whose names begin with one of the numbers asked for; all without any."""
    return [path for path in sorted(SOURCES.glob("*.py")) if not asked or path.name[0] in asked]


def main() -> int:
    """Execute and write the notebooks."""
    for path in sources(sys.argv[1:]):
        node = execute(notebook(path))
        node.metadata.pop("language_info", None)
        text = nbformat.writes(node) + "\n"
        (FOLDER / f"{path.stem}.ipynb").write_text(text, encoding="utf-8")
        print(f"{path.stem}.ipynb: {len(text) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
