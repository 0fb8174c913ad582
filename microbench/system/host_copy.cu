// Copies need no kernel; this one only stands for the probe's machine code.
#include "probe.cuh"

PROBE(probe) { out[thread_index()] = seed; }
