// One set, far beyond L2: see stream.cuh.
#include "stream.cuh"
