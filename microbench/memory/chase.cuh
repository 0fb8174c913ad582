// A random lap through every line of a footprint as a chain of pointers, built on the device: see lap.cuh.
#pragma once
#include "lap.cuh"

// Grid-stride over the lines: store in each the address of its successor.
PROBE(prepare) {
    u64 lines = bytes / LINE;
    u32 half = half_bits(lines);
    for (u64 i = thread_index(); i < lines; i += (u64)gridDim.x * blockDim.x)
        *(char**)(data + place(i, lines, half) * LINE) = data + place(i + 1, lines, half) * LINE;
}
