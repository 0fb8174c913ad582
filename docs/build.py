"""Builds the documentation as a site of plain HTML. Use: python docs/build.py -o site/.

Every page of docs/, the README and the changelog; links between pages are kept, notebooks and reports are copied.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 54rem; margin: 0 auto; padding: 1rem; }
nav { border-bottom: 1px solid var(--line); padding-bottom: .5rem; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
h1, h2, h3, p, li { overflow-wrap: anywhere; } h1 { line-height: 1.25; } img { height: auto; }
pre { background: var(--soft); padding: .7rem; overflow-x: auto; border-radius: 4px; }
code { font-size: .9em; } table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top; }
img { max-width: 100%; }
a { color: #06c; } @media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; } a { color: #6af; } }
"""
MENU = (("docs/index.html", "gpuprobe"), ("docs/tutorial.html", "Tutorial"),
        ("reports/h100-sxm/index.html", "A report"), ("docs/reference/cli.html", "Commands"),
        ("docs/reference/api.html", "Python"), ("docs/limits.html", "Limits"),
        ("CHANGELOG.html", "Changelog"))  # fmt: skip
COPIED = ("notebooks", "docs", "reports")
COPIED_SUFFIXES = (".ipynb", ".svg", ".png", ".html")


def pages() -> list[Path]:
    """The Markdown files of the site, relative to the repository."""
    return [
        Path("README.md"),
        Path("CHANGELOG.md"),
        *sorted(p.relative_to(ROOT) for p in (ROOT / "docs").rglob("*.md")),
    ]


def parser() -> MarkdownIt:
    """CommonMark with tables; HTML in a page is shown as text, not run."""
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def slug(text: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(tokens: list[Token]) -> dict[str, Token]:
    """Headings of a page by anchor; a repeated one gets a number."""
    found: dict[str, Token] = {}
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            name = base = slug(inline.content)
            number = 1
            while name in found:
                name, number = f"{base}-{number}", number + 1
            found[name] = opening
    return found


def links(tokens: list[Token]) -> list[Token]:
    """The tokens of a page's links and pictures."""
    inner = [child for token in tokens for child in token.children or ()]
    return [token for token in inner if token.type in ("link_open", "image")]


def target_of(token: Token) -> str:
    """Where a link or a picture points to."""
    return str(token.attrGet("href") or token.attrGet("src") or "")


def is_external(target: str) -> bool:
    """Whether a link leaves the repository."""
    return bool(re.match(r"[a-z]+:", target))


def render(page: Path) -> str:
    """A page as HTML; links to other pages point to their HTML."""
    markdown = parser()
    tokens = markdown.parse((ROOT / page).read_text(encoding="utf-8"))
    for name, opening in anchors(tokens).items():
        opening.attrSet("id", name)
    for token in links(tokens):
        if token.type == "link_open" and not is_external(target_of(token)):
            token.attrSet("href", re.sub(r"\.md(#|$)", r".html\1", target_of(token)))
    up = "../" * (len(page.parts) - 1)
    menu = "".join(f'<a href="{up}{target}">{name}</a>' for target, name in MENU)
    title = next((t.content for o, t in pairwise(tokens) if o.type == "heading_open"), page.stem)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<nav>{menu}</nav><main>{markdown.renderer.render(tokens, markdown.options, {})}</main></body></html>\n"
    )


def build(output: Path) -> list[Path]:
    """Write the site below ``output``; gives the pages written."""
    written = []
    for page in pages():
        path = output / page.with_suffix(".html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(page), encoding="utf-8")
        written.append(path)
    for folder in COPIED:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in COPIED_SUFFIXES:
                copy = output / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    front = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>gpuprobe</title>\n'
    (output / "index.html").write_text(front, encoding="utf-8")
    return written


def main() -> int:
    """Build the site into the folder asked for."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("-o", "--output", type=Path, default=Path("site"), help="folder to write [default: site]")
    print(f"{len(build(asked.parse_args().output))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
