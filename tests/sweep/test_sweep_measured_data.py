"""The measured data sets that the models are fitted to hold what their cards, and the changelog, say."""

import json
from collections import Counter

import pytest

from gpuprobe import resources

parquet = pytest.importorskip("pyarrow.parquet")

DATA = resources.folder("models") / "data"
FILES = sorted(DATA.glob("*/gemm_*.parquet"))
SHAPE = ("m", "n", "k", "dtype", "layout")


def shapes(*paths):
    """The distinct GEMMs of files that were timed, whatever the regime."""
    tables = [parquet.read_table(path, columns=[*SHAPE, "error"]).to_pylist() for path in paths]
    return {tuple(row[name] for name in SHAPE) for rows in tables for row in rows if not row["error"]}


def by_type(found):
    return dict(sorted(Counter(gemm[3] for gemm in found).items()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_card_counts_the_shapes_of_its_file(path):
    card = json.loads(path.with_name("card.json").read_text(encoding="utf-8"))["files"][path.name]
    found = shapes(path)
    assert f"{len(found):,} " in card["what"]
    assert card.get("shapes", by_type(found)) == by_type(found)


def test_the_changelog_counts_the_shapes_of_the_h200():
    short = [path for path in FILES if path.parent.name == "h200-sxm" and "sustained" not in path.name]
    lasting = [path for path in FILES if path.parent.name == "h200-sxm" and "sustained" in path.name]
    counts, root = by_type(shapes(*short)), DATA.parent.parent
    others = [counts[name] for name in ("fp16", "fp8", "tf32", "int8")]
    changelog = root / "CHANGELOG.md"
    if not changelog.is_file():
        pytest.skip("installed from a wheel: no changelog")
    text = " ".join(changelog.read_text(encoding="utf-8").split())
    assert f"{counts['bf16']:,} bf16 shapes hot and cold" in text
    assert f"{min(others):,} to {max(others):,} each of fp16, fp8, tf32 and int8, {counts['fp32']:,} of fp32" in text
    assert f"{len(shapes(*lasting)):,} sustained with power" in text
