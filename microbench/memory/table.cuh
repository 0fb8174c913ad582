// Many settings timed within one launch, a row of `out` for each: cycles, and a result that the host checks
// (gpuprobe.families.columns).
#pragma once
#include "probe.cuh"

__device__ __forceinline__ void store_row(u32* out, u32 row, u64 cycles, u32 result) {
    out[2u * row] = (u32)cycles;
    out[2u * row + 1u] = result;
}

// The record of a launch whose clock was read once more for each row: the first and the last reading.
__device__ __forceinline__ void store_record(Record* records, u64 clock_begin, u64 clock_end, u64 ns_begin) {
    Record record = {clock_begin, clock_end, ns_begin, ns_now(), sm_id()};
    records[blockIdx.x] = record;
}

__device__ __forceinline__ u32 shared_address(const void* p) {
    u32 address;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(address) : "l"(p));
    return address;
}
