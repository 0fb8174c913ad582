"""Rate of ldmatrix x1, x2 and x4, plain and .trans, in bytes per cycle of an SM.

Method: WARPS warps an SM load 16 tiles a pass from shared memory, from another tile on in each pass; slope over two
numbers of passes. An xN moves N x 128 bytes. Rows lie one behind the other: no bank conflicts.
Pitfalls: loads whose results nobody reads are deleted, so all words are added up (half an IADD3 a register, beside
the load unit); the sums of all lanes of all warps are compared with the host's.
Expected: 128 B/cycle/SM, the width of shared memory, with 16 warps; one warp reaches 19, 35 and 35 with x1, x2, x4 on
H100.
"""

from gpuprobe.families.matrix_path import MOVES, loaded_sums, rate_probe


def wanted(point, seed):
    """The sum of every lane."""
    return loaded_sums(point.iters, MOVES, int(point["X"]), trans=bool(point["TRANS"]), seed=seed)


PROBE = rate_probe("ldmatrix_rate", "LDSM", "LOADS", wanted, covers=(10,), archs=">=sm_80")
