// Eight sets within L2, one after another, at places in memory that differ from sample to sample (READ_ALL, which takes as
// many times longer as there are SMs: one): see stream.cuh.
#define WINDOWS (MODE == READ_ALL ? 1 : 8)
#define SPREAD (MODE == READ_ALL ? 128 : 16)
#include "stream.cuh"
