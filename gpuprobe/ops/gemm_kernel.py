"""What the name of a GEMM kernel of cuBLAS or CUTLASS tells: family, tile, stages, cluster, split-k, alignment.

Names are in the library's column-major view: its m is the n of a row-major C[m,n], so ``tile_n`` here is the first
number of a name's tile and ``tile_m`` the second; cluster likewise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class KernelName:
    """One GEMM kernel; 0 or an empty string where its name does not tell.

    ``tile_k`` is the k-step of one stage in elements; ``split_k`` 1 for a kernel that splits k itself, over an unstated
    number of parts; ``schedule`` the warp-group schedule (``coopA``, ``pingpong`` …); ``alignment`` in elements.
    """

    family: str
    tile_m: int = 0
    tile_n: int = 0
    tile_k: int = 0
    stages: int = 0
    cluster_m: int = 0
    cluster_n: int = 0
    split_k: int = 0
    alignment: int = 0
    schedule: str = ""


_NVJET = re.compile(
    r"nvjet_(?:sm\d+_)?(?P<types>[a-z0-9]+)_(?P<tile>\d+x\d+)_(?P<inner>\d+x\d+)(?:_(?P<cluster>\d+x\d+))?_(?P<rest>\w+)"
)
_NVJET_SCHEDULE = re.compile(r"_(coop[AB]?|2cta|pingpong|pipelined)(?=_|$)")
_XMMA = re.compile(r"sm(?P<arch>\d+)_xmma_gemm_(?P<rest>\w+)")
_XMMA_TILE = re.compile(r"tilesize(\d+)x(\d+)x(\d+)")
_XMMA_CLUSTER = re.compile(r"cluster(?:size)?_?(\d+)x(\d+)")
_XMMA_STAGES = re.compile(r"stage(?:s)?(\d+)")
_XMMA_SCHEDULE = re.compile(r"warpgroupsize(\d+x\d+x\d+)")
_CUTLASS3 = re.compile(
    r"cutlass3x_sm\d+_\w+?_(?P<tile>\d+x\d+x\d+)_(?P<cluster>\d+x\d+x\d+)_(?P<stages>\d+)_(?P<layout>[nt]{2,3})_"
    r"align(?P<align>\d+)(?P<rest>\w*)"
)
_CUTLASS = re.compile(
    r"cutlass_\d+_(?P<kind>tensorop|wmma|simt)\w*?_(?P<tile>\d+x\d+)(?:_(?P<inner>\d+x\d+))?_(?P<layout>[nt]{2})"
    r"(?:_align(?P<align>\d+))?"
)
_LEGACY = re.compile(r"(?P<arch>ampere|turing|volta|maxwell|ada|hopper)_\w*?gemm\w*?_(?P<tile>\d+x\d+)(?P<rest>\w*)")
_LEGACY_INNER = re.compile(r"_ldg\d+.*?_stages_(\d+)x(\d+)|_stages_(\d+)x(\d+)|sliced1x(\d+)")
_SPLITS = ("splitk", "split_k", "streamk", "segment_k_on", "splitkreduce")
_FAMILIES = (  # kernels whose name holds no tile, most telling part first
    ("splitkreduce", "splitk_reduce"),
    ("gemmsn_tn", "gemm_small_n"),
    ("gemmsn", "gemm_small_n"),
    ("gemvx", "gemv"),
    ("gemv", "gemv"),
    ("dot_kernel", "dot"),
    ("reduce_1block", "dot"),
    ("gemmk1", "gemm_k1"),
    ("igemmtraits", "igemm"),
    ("scal_kernel", "scale"),
    ("sgemm", "simt"),
    ("memset", "memset"),
)


def parse(name: str) -> KernelName:
    """Family and numbers of one kernel's name; family ``other`` where nothing is recognised."""
    for pattern, read in _READERS:
        match = pattern.search(name)
        if match:
            return read(match)
    lowered = name.lower()
    family = next((family for part, family in _FAMILIES if part in lowered), "other")
    return KernelName(family, split_k=int(_splits(lowered)))


def without_parameters(name: str) -> str:
    """A demangled name without the list of parameters at its end, which says nothing more and is long."""
    if not name.endswith(")"):
        return name
    depth = 0
    for position in range(len(name) - 1, -1, -1):
        depth += (name[position] == ")") - (name[position] == "(")
        if depth == 0:
            return name[:position]
    return name


def main_kernel(names: Sequence[str]) -> str:
    """The kernel that multiplies of one GEMM: no memset, no reduction after a split; '' for none."""
    helpers = ("memset", "splitk_reduce", "scale")
    candidates = [name for name in names if parse(name).family not in helpers]
    return max(candidates, key=lambda name: parse(name).tile_m, default="")


def _pair(text: str) -> tuple[int, int]:
    first, second = text.split("x")[:2]
    return int(first), int(second)


def _splits(text: str) -> bool:
    return any(part in text.lower() for part in _SPLITS)


def _nvjet(match: re.Match[str]) -> KernelName:
    tile_n, tile_m = _pair(match["tile"])
    tile_k, stages = _pair(match["inner"])
    cluster_n, cluster_m = _pair(match["cluster"] or "1x1")
    schedule = _NVJET_SCHEDULE.search("_" + match["rest"])
    return KernelName(
        "nvjet", tile_m, tile_n, tile_k, stages, cluster_m, cluster_n, int(_splits(match["rest"])),
        schedule=schedule[1] if schedule else "",
    )  # fmt: skip


def _xmma(match: re.Match[str]) -> KernelName:
    rest = match["rest"]
    tile, cluster = _XMMA_TILE.search(rest), _XMMA_CLUSTER.search(rest)
    stages, schedule = _XMMA_STAGES.search(rest), _XMMA_SCHEDULE.search(rest)
    tile_n, tile_m, tile_k = (int(size) for size in tile.groups()) if tile else (0, 0, 0)
    cluster_n, cluster_m = (int(size) for size in cluster.groups()) if cluster else (0, 0)
    return KernelName(
        f"xmma{match['arch']}", tile_m, tile_n, tile_k, int(stages[1]) if stages else 0, cluster_m, cluster_n,
        int(_splits(rest)), schedule=schedule[1] if schedule else "",
    )  # fmt: skip


def _cutlass3(match: re.Match[str]) -> KernelName:
    tile_n, tile_m, tile_k = (int(size) for size in match["tile"].split("x"))
    cluster_n, cluster_m = _pair(match["cluster"])
    schedule = re.search(r"pingpong|cooperative|warpspecialized", match["rest"])
    return KernelName(
        "cutlass3", tile_m, tile_n, tile_k, int(match["stages"]), cluster_m, cluster_n, int(_splits(match["rest"])),
        int(match["align"]), schedule[0] if schedule else "",
    )  # fmt: skip


def _cutlass(match: re.Match[str]) -> KernelName:
    tile_n, tile_m = _pair(match["tile"])
    tile_k, stages = _pair(match["inner"] or "0x0")  # kernels for Turing have two stages and do not say so
    return KernelName(
        f"cutlass_{match['kind']}", tile_m, tile_n, tile_k, stages, split_k=int(_splits(match.string)),
        alignment=int(match["align"] or 0),
    )  # fmt: skip


def _legacy(match: re.Match[str]) -> KernelName:
    tile_n, tile_m = _pair(match["tile"])
    inner = _LEGACY_INNER.search(match["rest"])
    numbers = [int(number) for number in inner.groups() if number] if inner else []
    tile_k, stages = numbers if len(numbers) == 2 else (0, 0)
    return KernelName(match["arch"], tile_m, tile_n, tile_k, stages, split_k=int(_splits(match["rest"])))


_READERS = (
    (_NVJET, _nvjet),
    (_XMMA, _xmma),
    (_CUTLASS3, _cutlass3),
    (_CUTLASS, _cutlass),
    (_LEGACY, _legacy),
)
