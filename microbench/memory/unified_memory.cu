// A triad over managed memory: see stream.cuh.
#include "stream.cuh"
