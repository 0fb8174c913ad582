// The spool file: blocks of packed little-endian records, appended whole; trace/record/spool.py reads the same layouts.
// A file that ends inside a block lost that block alone. Text is interned: records hold ids, name blocks bring each id
// once.
#pragma once

#include <cstdint>

namespace spool {

constexpr uint32_t kMagic = 0x31425047;  // "GPB1"
constexpr uint32_t kVersion = 1;

enum Kind : uint32_t {
  kInfo = 1,   // key NUL value NUL …
  kNames = 2,  // {u32 id, u32 bytes, text padded to 8} …
  kKernel = 3,
  kMemory = 4,
  kRuntime = 5,
  kDriver = 6,
  kSync = 7,
  kEvent = 8,
  kMarker = 9,
  kExternal = 10,
  kOverhead = 11,
  kDevice = 12,
  kContext = 13,
  kStats = 14,
  kMark = 15,
};

struct Block {
  uint32_t magic, kind, count, bytes;  // bytes of payload, a multiple of 8
};

struct Kernel {
  uint64_t start, end, node;
  uint32_t name, device, context, stream, correlation, graph;
  int32_t grid[3], block[3];
  uint32_t registers, static_shared, dynamic_shared, channel_type;
};

struct Memory {
  uint64_t start, end, bytes, node;
  uint32_t device, context, stream, correlation, graph;
  uint8_t is_set, copy_kind, source, target;  // source and target: memory kinds; of a set only target
};

struct Call {
  uint64_t start, end;
  uint32_t name, thread, correlation;
  int32_t result;
};

struct Sync {
  uint64_t start, end, event_record;  // event_record: joins Event.record, ~0 where there is none
  uint32_t type, context, stream, correlation;
};

struct Event {
  uint64_t record;
  uint32_t context, stream, correlation, event;
};

struct Marker {
  uint64_t time;
  uint32_t flags, id, name, domain, thread, object_kind;
};

struct External {
  uint64_t id;
  uint32_t kind, correlation;
};

struct Overhead {
  uint64_t start, end;
  uint32_t kind, object_kind, thread, reserved;
};

struct Device {
  uint64_t memory_bytes;
  uint8_t uuid[16];
  uint32_t id, name, multiprocessors, major, minor, clock_khz, l2_bytes, reserved;
};

struct Context {
  uint32_t context, device;
};

// A window of recording: switching on begins, everything is on, switching off begins. The last one may lack its end.
enum Border : uint64_t { kEnds = 0, kBegins = 1, kAllOn = 2 };

struct Mark {
  uint64_t time, border;
};

// Cumulative, written after every delivered buffer. The three clocks are read together.
struct Stats {
  uint64_t cupti_ns, realtime_ns, monotonic_ns;
  uint64_t records, dropped, unknown, bytes, buffers, lost_buffers;
  uint64_t callback_ns, request_ns;
  uint64_t closed;  // 1: the program ended by itself and everything was flushed
};

}  // namespace spool
