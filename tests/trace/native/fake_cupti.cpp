// A stand-in for libcupti, so that the recorder is tested without a GPU: it hands out the records that fake_run asks
// for.
#include <cupti_activity.h>
#include <cupti_callbacks.h>
#include <cupti_driver_cbid.h>
#include <cupti_version.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

std::recursive_mutex mutex;  // of the records; switches are thrown without it, as beside a program that launches on
using Locked = std::lock_guard<std::recursive_mutex>;
CUpti_BuffersCallbackRequestFunc request;
CUpti_BuffersCallbackCompleteFunc complete;
std::atomic<bool> enabled[128], functions[3];  // kinds; functions of the runtime, switched on one by one
std::atomic<int> windows_ended;
std::atomic<bool> recording;                              // everything was on when the time was last asked for
bool is_held(const char *what) { return getenv("FAKE_HOLD") && !strcmp(getenv("FAKE_HOLD"), what); }
std::atomic<bool> begin_held{is_held("begin")}, end_held{is_held("end")};  // of --delay; of --seconds
bool callbacks_enabled;
std::atomic<bool> context_made;
bool functions_work;  // as in CUPTI 13.0: where none was on when the context was made, none ever works
CUpti_CallbackFunc callback;
bool system_threads, zeroed;
uint8_t *buffer;
size_t capacity, used;
uint32_t correlation;
uint32_t stuck;  // as in CUPTI 13.0: a function was switched while the program was in it; the number of every later call
thread_local uint64_t told_last;  // by cuptiGetTimestamp

template <typename Record>
Record *append(CUpti_ActivityKind kind) {
  const bool as_function = kind == CUPTI_ACTIVITY_KIND_RUNTIME && functions_work && functions[1];
  if (!request || !(enabled[kind] || as_function)) return nullptr;
  if (buffer && used + sizeof(Record) > capacity) {
    complete(nullptr, 0, buffer, capacity, used);
    buffer = nullptr;
  }
  if (!buffer) {
    size_t most = 0;
    request(&buffer, &capacity, &most);
    used = 0;
    if (!buffer) return nullptr;
    if (!zeroed) memset(buffer, 0, capacity);
  }
  Record *record = reinterpret_cast<Record *>(buffer + used);
  used += sizeof(Record);
  record->kind = kind;
  return record;
}

size_t size_of(CUpti_ActivityKind kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return sizeof(CUpti_ActivityKernel9);
    case CUPTI_ACTIVITY_KIND_MEMCPY:
      return sizeof(CUpti_ActivityMemcpy5);
    case CUPTI_ACTIVITY_KIND_RUNTIME:
      return sizeof(CUpti_ActivityAPI);
    case CUPTI_ACTIVITY_KIND_MARKER:
      return sizeof(CUpti_ActivityMarker2);
    case CUPTI_ACTIVITY_KIND_GRAPH_TRACE:
      return sizeof(CUpti_ActivityGraphTrace2);
    case CUPTI_ACTIVITY_KIND_DEVICE:
      return sizeof(CUpti_ActivityDevice4);
    default:
      return 0;
  }
}

// No two readings are the same.
uint64_t now() {
  static std::atomic<uint64_t> last;
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  const uint64_t read = uint64_t(t.tv_sec) * 1000000000ull + uint64_t(t.tv_nsec);
  uint64_t before = last, next;
  do next = std::max(read, before + 1);
  while (!last.compare_exchange_weak(before, next));
  return next;
}

uint32_t next_number() {
  ++correlation;
  return stuck ? stuck : correlation;
}

void add_call(uint32_t number, uint64_t start, uint64_t end) {
  auto *call = append<CUpti_ActivityAPI>(CUPTI_ACTIVITY_KIND_RUNTIME);
  if (!call) return;
  call->cbid = 1;
  call->start = start;
  call->end = end;
  call->threadId = system_threads ? 77 : uint32_t(uintptr_t(pthread_self()));
  call->correlationId = number;
}

CUpti_ActivityKernel9 *add_kernel(uint32_t number, uint64_t start, const char *name) {
  auto *k = append<CUpti_ActivityKernel9>(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
  if (!k) return nullptr;
  k->start = start;
  k->end = start + 1000;
  k->streamId = 7;
  k->contextId = 1;
  k->correlationId = number;
  k->gridX = k->gridY = k->gridZ = 1;
  k->blockX = 128;
  k->blockY = k->blockZ = 1;
  k->name = name;
  return k;
}

// With FAKE_BORDERS the program launches in the very moments in which a window begins and ends.
bool at_borders() { return getenv("FAKE_BORDERS") && context_made; }

void launch_at_border() {
  const uint64_t start = now();
  const uint32_t number = next_number();
  add_call(number, start, now());
  add_kernel(number, now(), "border");
}

void kernels_go_on() {
  launch_at_border();  // recorded is the call alone
  enabled[CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL] = true;
  launch_at_border();  // both, before everything is on
}

void kernels_go_off() {
  const uint64_t ending = told_last;
  const uint32_t late = next_number();
  launch_at_border();  // both, after the window's end
  enabled[CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL] = false;
  add_call(late, ending, now());  // begun in the very nanosecond of the window's end: recorded is the call alone
  launch_at_border();             // the call alone
}

void marker(CUpti_ActivityFlag flag, uint32_t id, const char *name) {
  auto *m = append<CUpti_ActivityMarker2>(CUPTI_ACTIVITY_KIND_MARKER);
  if (!m) return;
  m->flags = flag;
  m->timestamp = now();
  m->id = id;
  m->objectKind = CUPTI_ACTIVITY_OBJECT_THREAD;
  m->objectId.pt.threadId = 77;
  m->name = name;
}

}  // namespace

EXPORTED CUptiResult cuptiGetVersion(uint32_t *version) { return *version = CUPTI_API_VERSION, CUPTI_SUCCESS; }
EXPORTED CUptiResult cuptiGetTimestamp(uint64_t *time) {
  *time = told_last = now();
  if (enabled[CUPTI_ACTIVITY_KIND_MEMSET]) recording = true;  // the last of the kinds of a window
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiGetResultString(CUptiResult result, const char **text) {
  *text = result == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED ? "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED"
                                                                   : "CUPTI_ERROR_UNKNOWN";
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiGetCallbackName(CUpti_CallbackDomain domain, uint32_t cbid, const char **name) {
  if (cbid > 2) return CUPTI_ERROR_INVALID_PARAMETER;
  *name = domain == CUPTI_CB_DOMAIN_DRIVER_API ? "cuLaunchKernelEx"
          : cbid == 1                          ? "cudaLaunchKernel_v7000"
                                               : "cudaGetLastError_v3020";
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiSubscribe(CUpti_SubscriberHandle *, CUpti_CallbackFunc function, void *) {
  callback = function;
  return getenv("FAKE_BUSY") ? CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED : CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiSubscribe_v2(CUpti_SubscriberHandle *, CUpti_CallbackFunc, void *,
                                       CUpti_SubscriberParams *params) {
  if (!getenv("FAKE_BUSY")) return CUPTI_SUCCESS;
  strncpy(params->oldSubscriberName, getenv("FAKE_BUSY"), params->oldSubscriberSize);
  return CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED;
}
EXPORTED CUptiResult cuptiEnableCallback(uint32_t on, CUpti_SubscriberHandle, CUpti_CallbackDomain, CUpti_CallbackId) {
  return callbacks_enabled = on, CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiUnsubscribe(CUpti_SubscriberHandle) { return CUPTI_SUCCESS; }
EXPORTED CUptiResult cuptiSetThreadIdType(CUpti_ActivityThreadIdType type) {
  return system_threads = type == CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM, CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind) {
  while (kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL && begin_held) usleep(1000);
  if (kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL && at_borders()) {
    Locked locked(mutex);
    kernels_go_on();
  }
  enabled[kind] = true;
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind) {
  while (kind == CUPTI_ACTIVITY_KIND_MARKER && end_held) usleep(1000);  // the end of --seconds begins with this
  if (kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL && at_borders()) {
    Locked locked(mutex);
    kernels_go_off();
  }
  enabled[kind] = false;
  windows_ended += kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiActivityEnableRuntimeApi(CUpti_CallbackId id, uint8_t on) {
  if (id == 1 && on != functions[1] && context_made && !stuck) {
    Locked locked(mutex);
    stuck = next_number();
  }
  functions[id < 3 ? id : 0] = on;
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiActivityEnableDriverApi(CUpti_CallbackId, uint8_t) { return CUPTI_SUCCESS; }
EXPORTED CUptiResult cuptiActivitySetAttribute(CUpti_ActivityAttribute attribute, size_t *, void *) {
  if (attribute == CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER) zeroed = true;
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext, uint32_t, size_t *dropped) {
  return *dropped = 0, CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc r,
                                                    CUpti_BuffersCallbackCompleteFunc c) {
  request = r;
  complete = c;
  return CUPTI_SUCCESS;
}
EXPORTED CUptiResult cuptiActivityGetNextRecord(uint8_t *begin, size_t valid, CUpti_Activity **record) {
  uint8_t *next = *record ? reinterpret_cast<uint8_t *>(*record) + size_of((*record)->kind) : begin;
  if (next >= begin + valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
  *record = reinterpret_cast<CUpti_Activity *>(next);
  return size_of((*record)->kind) ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_KIND;
}
EXPORTED CUptiResult cuptiActivityFlushAll(uint32_t) {
  Locked locked(mutex);
  if (buffer && used) {
    complete(nullptr, 0, buffer, capacity, used);
    buffer = nullptr;
  }
  return CUPTI_SUCCESS;
}

EXPORTED int InitializeInjectionNvtx2(const void *(*)(uint32_t)) { return 1; }

// A device, then `launches` times a launch call and its kernel, all inside one range "step".
EXPORTED void fake_run(int launches) {
  Locked locked(mutex);
  if (!context_made) functions_work = functions[1] && !getenv("FAKE_NO_FUNCTIONS");
  context_made = true;
  if (auto *d = append<CUpti_ActivityDevice4>(CUPTI_ACTIVITY_KIND_DEVICE)) {
    d->id = 0;
    d->name = "Fake GPU";
    d->numMultiprocessors = 132;
    memset(&d->uuid, 0xab, sizeof d->uuid);
  }
  marker(CUPTI_ACTIVITY_FLAG_MARKER_START, ++correlation, "step");
  const uint32_t id = correlation;
  for (int i = 0; i < launches; ++i) {
    const uint64_t start = now();
    const uint32_t number = next_number();
    add_call(number, start, start + 2000);
    auto *k = add_kernel(number, start + 3000, i % 2 ? "_Z6squarePfi" : "plain");
    if (!k) continue;
    k->end = k->start + 1000 * uint64_t(1 + i % 3);
    k->blockX = 128 * (1 + i % 2);
    k->graphNodeId = i % 5 == 0 ? 42 : 0;
  }
  marker(CUPTI_ACTIVITY_FLAG_MARKER_END, id, nullptr);
}

// cudaProfilerStart (1) or cudaProfilerStop (0).
EXPORTED void fake_profiler(int begins) {
  CUpti_CallbackData data = {};
  data.callbackSite = begins ? CUPTI_API_EXIT : CUPTI_API_ENTER;
  const auto id = begins ? CUPTI_DRIVER_TRACE_CBID_cuProfilerStart : CUPTI_DRIVER_TRACE_CBID_cuProfilerStop;
  if (callbacks_enabled) callback(nullptr, CUPTI_CB_DOMAIN_DRIVER_API, id, &data);
}

// A graph of two kernels, launched once: its kernels, or the whole where that is enabled.
EXPORTED void fake_graph() {
  Locked locked(mutex);
  const uint64_t start = now();
  ++correlation;
  if (auto *whole = append<CUpti_ActivityGraphTrace2>(CUPTI_ACTIVITY_KIND_GRAPH_TRACE)) {
    whole->start = start;
    whole->end = start + 5000;
    whole->streamId = 7;
    whole->graphId = 3;
    whole->correlationId = correlation;
    return;
  }
  for (int node = 1; node < 3; ++node) {
    auto *k = append<CUpti_ActivityKernel9>(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    if (!k) return;
    k->start = start + 2000 * uint64_t(node);
    k->end = k->start + 1000;
    k->streamId = 7;
    k->graphId = 3;
    k->graphNodeId = uint64_t(node);
    k->correlationId = correlation;
    k->name = "node";
  }
}

// So that programs wait for what they depend on, and for no time: the end of --seconds or of --delay may come now;
EXPORTED void fake_release() { begin_held = end_held = false; }

// whether a window has begun;
EXPORTED int fake_recording() { return recording; }

// windows that ended so far;
EXPORTED int fake_windows() { return windows_ended; }

// records that the recorder does not have yet;
EXPORTED int fake_pending() {
  Locked locked(mutex);
  return buffer && used;
}

// a kill right after a launch, before anything is flushed.
EXPORTED void fake_die() {
  Locked locked(mutex);
  launch_at_border();
  kill(getpid(), SIGKILL);
}
