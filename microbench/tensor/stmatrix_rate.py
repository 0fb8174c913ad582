"""Rate of stmatrix x1, x2 and x4, plain and .trans, in bytes per cycle of an SM.

Method: WARPS warps an SM store 16 tiles a pass into shared memory; slope over two numbers of passes. An xN moves N x
128 bytes. Rows lie one behind the other: no bank conflicts. What is stored changes with the pass, and the tiles left
by the last one are compared with the host's, by every lane.
Pitfalls: nobody has published a value; all warps store the same, which costs what storing different tiles does.
Expected: 128 B/cycle/SM, the width of shared memory, with 16 warps; one warp reaches 24, 35 and 44 with x1, x2, x4 on
H100.
"""

from gpuprobe.families.matrix_path import rate_probe, stored


def wanted(point, seed):
    """What each warp reads of one tile."""
    return stored(point.iters, int(point["X"]), trans=bool(point["TRANS"]), seed=seed)


PROBE = rate_probe("stmatrix_rate", "STSM", "STORES", wanted, covers=(11,), archs=">=sm_90")
