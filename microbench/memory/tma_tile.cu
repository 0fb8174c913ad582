// One thread a block moves boxes of a tensor of 32-bit words by TMA, a ring of RING bytes (at most MOST boxes) in flight.
// MODE: LOAD into shared memory, STORE from it, ADD to what is there. RANK 1 are plain bulk copies without a descriptor. Box
// k of a block is blockIdx + k x gridDim, the first dimension fastest; the head of the set tells dims and box
// (gpuprobe.estimate.TensorMap).
#include "async.cuh"

#define LOAD 0
#define STORE 1
#define ADD 2
#define HEAD 1024u
#define RING 65536u
#define MOST 32u
#define STORES 8
#define SLACK 128u

struct Tensor {
    u32 rank, dims[5], box[5];
};

struct Place {
    u32 x, y, z;
};

// The block's boxes in turn, each `stride` boxes on; coordinates move without a division.
struct Walk {
    Place at, first, stride;
    u32 columns, rows, left, mine;
};

__device__ __forceinline__ Place place_of(u32 index, const Tensor& t) {
    u32 columns = t.dims[0] / t.box[0], rows = t.dims[1] / t.box[1];
    Place place = {index % columns, index / columns % rows, index / columns / rows};
    return place;
}

__device__ __forceinline__ Walk walk_over(const Tensor& t, u32 mine) {
    Place first = place_of(blockIdx.x, t);
    Walk walk = {first, first, place_of(gridDim.x, t), t.dims[0] / t.box[0], t.dims[1] / t.box[1], mine, mine};
    return walk;
}

__device__ __forceinline__ void advance(Walk& w) {
    w.at.x += w.stride.x;
    w.at.y += w.stride.y;
    w.at.z += w.stride.z;
    if (w.at.x >= w.columns) {
        w.at.x -= w.columns;
        ++w.at.y;
    }
    if (w.at.y >= w.rows) {
        w.at.y -= w.rows;
        ++w.at.z;
    }
    if (--w.left == 0) {
        w.left = w.mine;
        w.at = w.first;
    }
}

__device__ __forceinline__ u32* word_at(char* data, const Tensor& t, u32 x, u32 y, u32 z) {
    return (u32*)(data + HEAD) + ((u64)z * t.dims[1] + y) * t.dims[0] + x;
}

__device__ __forceinline__ u32 read(const u32* p) {
    u32 value;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
    return value;
}

// First and last word of a box in memory.
__device__ __forceinline__ u32 corners(char* data, const Tensor& t, const Place& p) {
    u32 x = p.x * t.box[0], y = p.y * t.box[1], z = p.z * t.box[2];
    return read(word_at(data, t, x, y, z)) + read(word_at(data, t, x + t.box[0] - 1u, y + t.box[1] - 1u, z + t.box[2] - 1u));
}

__device__ __forceinline__ void load(u32 to, char* data, const Tensor& t, const Place& p, u32 bytes, u32 barrier) {
    u32 x = p.x * t.box[0], y = p.y * t.box[1], z = p.z * t.box[2];
#if RANK == 1
    bulk_load(to, (const char*)word_at(data, t, x, 0, 0), bytes, barrier);
#elif RANK == 2
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
        "l"(data), "r"(x), "r"(y), "r"(barrier)
        : "memory");
#else
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
            to),
        "l"(data), "r"(x), "r"(y), "r"(z), "r"(barrier)
        : "memory");
#endif
}

#if MODE == STORE
#define BULK "cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;"
#define TENSOR(rank) "cp.async.bulk.tensor." rank ".global.shared::cta.tile.bulk_group"
#else
#define BULK "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [%0], [%1], %2;"
#define TENSOR(rank) "cp.reduce.async.bulk.tensor." rank ".global.shared::cta.add.tile.bulk_group"
#endif

__device__ __forceinline__ void store(u32 from, char* data, const Tensor& t, const Place& p, u32 bytes) {
    u32 x = p.x * t.box[0], y = p.y * t.box[1], z = p.z * t.box[2];
#if RANK == 1
    asm volatile(BULK ::"l"(word_at(data, t, x, 0, 0)), "r"(from), "r"(bytes) : "memory");
#elif RANK == 2
    asm volatile(TENSOR("2d") " [%0, {%1, %2}], [%3];" ::"l"(data), "r"(x), "r"(y), "r"(from) : "memory");
#else
    asm volatile(TENSOR("3d") " [%0, {%1, %2, %3}], [%4];" ::"l"(data), "r"(x), "r"(y), "r"(z), "r"(from) : "memory");
#endif
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Word i of the tensor holds i.
PROBE(prepare) {
    u32* words = (u32*)(data + HEAD);
    for (u64 i = thread_index(); i < (bytes - HEAD) / 4; i += (u64)gridDim.x * blockDim.x) words[i] = (u32)i;
}

// out: a word for each block. LOAD: the sum of first and last words; STORE and ADD: what those of memory grew by.
PROBE(probe) {
    extern __shared__ char dynamic[];
    __shared__ u64 barriers[MOST];
    const Tensor t = *(const Tensor*)(data + 128);
    u32 box_bytes = 4u * t.box[0] * t.box[1] * t.box[2], boxes = t.dims[0] / t.box[0] * (t.dims[1] / t.box[1]) * (t.dims[2] / t.box[2]);
    u32 mine = boxes / gridDim.x, depth = min(RING / box_bytes, MOST), total = mine * (u32)iters;
    u32 ring = (shared_address(dynamic) + SLACK - 1u) & ~(SLACK - 1u), end = ring + depth * box_bytes, sum = 0;
    for (u32 i = threadIdx.x; i < depth * box_bytes / 4; i += blockDim.x)
        store_shared(ring + 4u * i, MODE == ADD ? 1u : seed + i % (box_bytes / 4u));
    if (threadIdx.x == 0)
        for (u32 s = 0; s < depth; ++s) barrier_init(shared_address(barriers + s), 1);
    fence_async();
    __syncthreads();
    if (threadIdx.x != 0) return;
    asm volatile("fence.proxy.tensormap::generic.acquire.gpu [%0], 128;" ::"l"(data) : "memory");
    Walk ahead = walk_over(t, mine);
    if (MODE == ADD)
        for (u32 k = 0; k < mine; ++k, advance(ahead)) sum -= corners(data, t, ahead.at);
    u64 deadline = ns_now() + 10 * PATIENCE_NS;
    u32 buffer = ring, barrier = shared_address(barriers), parity = 0, issued = 0;
    bool good = true;
    Span span;
    span.ns = ns_now();
    span.clock = clock_now();
    if (MODE == LOAD) {
#pragma unroll 1
        for (; issued < depth && issued < total; ++issued, advance(ahead)) {
            barrier_expect(barrier + 8u * issued, box_bytes);
            load(ring + issued * box_bytes, data, t, ahead.at, box_bytes, barrier + 8u * issued);
        }
    }
#pragma unroll 1
    for (u32 k = 0; k < total && good; ++k) {
        if (MODE == LOAD) {
            good = barrier_wait(barrier, parity, deadline);
            sum += load_shared(buffer) + load_shared(buffer + box_bytes - 4u);
        } else {
            asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(STORES - 1) : "memory");
        }
        if (issued < total) {
            if (MODE == LOAD) {
                barrier_expect(barrier, box_bytes);
                load(buffer, data, t, ahead.at, box_bytes, barrier);
            } else {
                store(buffer, data, t, ahead.at, box_bytes);
            }
            ++issued;
            advance(ahead);
        }
        buffer += box_bytes;
        barrier += 8u;
        if (buffer == end) {
            buffer = ring;
            barrier = shared_address(barriers);
            parity ^= 1u;
        }
    }
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
    u64 clock = clock_now();
    u64 ns = ns_now();
    Record record = {span.clock, clock, span.ns, ns, sm_id()};
    records[blockIdx.x] = record;
    fence_async();
    Walk back = walk_over(t, mine);
    if (MODE != LOAD)
        for (u32 k = 0; k < mine; ++k, advance(back)) sum += corners(data, t, back.at);
    out[blockIdx.x] = sum;
}
