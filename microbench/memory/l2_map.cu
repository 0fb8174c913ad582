// Latency of single L2 hits for every pair of an SM and a line. The SMs take turns. In a turn a block elsewhere writes all
// lines, so that they lie in their home slices (and with the writer's side of a split L2); then one lane follows a pointer
// chain through them and keeps the cycles of every load, the least of `iters` repeats. Three writers, a quarter, a half
// and three quarters of the grid further on, stand in for one on the other side. At last a lap without a write before it.
// LOADS dependent loads are timed at once: two less one is a latency without the cost of the clock reads.
#include "lap.cuh"
#include "table.cuh"

#define MAP_LINES 256
#define WRITERS 3
#define HEAD 16
#define ROW_WORDS (4 + WRITERS * MAP_LINES / 2)

__device__ __forceinline__ void wait_for(u32* turn, u32 value) {
    u32 seen;
    while (true) {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(turn) : "memory");
        if (seen == value) return;
        asm volatile("nanosleep.u32 500;");  // few polls, so that they do not disturb the loads that are timed
    }
}

__device__ __forceinline__ void hand_on(u32* turn, u32 value) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(turn), "r"(value) : "memory");
}

// Where line i lies: at a random place of its own part of the data.
__device__ __forceinline__ char* spot(char* data, u64 i, u64 step) {
    return data + i * step + mix((u32)i) % (u32)(step / LINE) * LINE;
}

// out: [0] whose turn it is, counted up; for each block from HEAD on a row: cycles of the last lap, where the chain ended,
// the SM, 1; then the cycles of each line after each writer, two a word.
PROBE(probe) {
    __shared__ u32 least[(WRITERS + 1) * MAP_LINES];
    u64 step = bytes / MAP_LINES;
    u32 half = half_bits(MAP_LINES);
    u64 ns_begin = 0, first = 0, before = 0, after = 0;
    u32 turn = 0xa5a5a5a5u, laps = (u32)iters * WRITERS;  // what `out` holds at the start
#pragma unroll 1
    for (u32 i = 0; i < gridDim.x; ++i) {
        bool times = blockIdx.x == i && threadIdx.x == 0;
        char* start = spot(data, place(0, MAP_LINES, half), step);
        u64 total = 0;
        char* p = start;
#pragma unroll 1
        for (u32 lap = 0; lap <= laps; ++lap, turn += 2) {
            bool written = lap < laps;
            if (blockIdx.x == (i + (lap % WRITERS + 1u) * gridDim.x / (WRITERS + 1u)) % gridDim.x) {
                if (threadIdx.x == 0) wait_for(out, turn);
                __syncthreads();
                for (u64 k = threadIdx.x; written && k < MAP_LINES; k += blockDim.x)
                    *(char**)spot(data, place(k, MAP_LINES, half), step) = spot(data, place(k + 1, MAP_LINES, half), step);
                __threadfence();
                __syncthreads();
                if (threadIdx.x == 0) hand_on(out, turn + 1);
            }
            if (!times) continue;
            wait_for(out, turn + 1);
            total = 0;
            p = start;
            u32* row = least + (written ? lap % WRITERS : WRITERS) * MAP_LINES;
#pragma unroll 1
            for (u32 k = 0; k < MAP_LINES / LOADS - (written ? 0 : 1); ++k) {
                before = clock_now();
#pragma unroll
                for (int j = 0; j < LOADS; ++j) asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(p)::"memory");
                arrive(p);
                after = clock_now();
                if (first == 0) first = before, ns_begin = ns_now();
                u32 cycles = (u32)(after - before);
                row[k] = lap < WRITERS || cycles < row[k] ? cycles : row[k];
                total += cycles;
            }
            hand_on(out, turn + 2);
        }
        if (!times) continue;
        u32* row = out + HEAD + i * ROW_WORDS;
        row[0] = (u32)total;
        row[1] = (u32)(p - data);
        row[2] = sm_id();
        row[3] = 1;
        for (u32 k = 0; k < WRITERS * MAP_LINES / 2; ++k) row[4 + k] = (least[2 * k] & 0xffffu) | least[2 * k + 1] << 16;
        store_record(records, first, after, ns_begin);
    }
}
