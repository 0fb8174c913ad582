// CUPTI hands over full activity buffers on its own worker thread; there the fields that a trace needs are packed into
// small records and appended to the process's spool file (spool.h). The program's threads only pay for CUPTI itself.
#include "recorder.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <utility>

namespace {

constexpr unsigned kReadyBuffers = 8;
constexpr int kMostExitWaitMs = 2000;

uint64_t number_from_environment(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, nullptr, 10) : otherwise;
}

std::string info_of(std::initializer_list<std::pair<const char *, std::string>> pairs) {
  std::string payload;
  for (const auto &pair : pairs) payload.append(pair.first).append(1, '\0').append(pair.second).append(1, '\0');
  payload.append((8 - payload.size() % 8) % 8, '\0');
  return payload;
}

std::string command_line() {
  std::string text;
  char part[512];
  int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  for (ssize_t size; file >= 0 && text.size() < 4096 && (size = read(file, part, sizeof part)) > 0;)
    text.append(part, size_t(size));
  if (file >= 0) close(file);
  while (!text.empty() && text.back() == '\0') text.pop_back();
  for (char &c : text)
    if (c == '\0') c = ' ';
  return text;
}

std::string from_environment(const char *name) {
  const char *text = getenv(name);
  return text ? text : "";
}

void CUPTIAPI on_request(uint8_t **buffer, size_t *size, size_t *most_records) {
  *most_records = 0;
  recorder().request(buffer, size);
}

void CUPTIAPI on_complete(CUcontext, uint32_t, uint8_t *buffer, size_t size, size_t valid) {
  recorder().complete(buffer, size, valid);
}

void CUPTIAPI on_callback(void *, CUpti_CallbackDomain, CUpti_CallbackId, const void *) {}

// What a trace is made of. Every further kind costs each launch of the program: CUPTI looks for its records there.
const CUpti_ActivityKind kKinds[] = {
    CUPTI_ACTIVITY_KIND_DEVICE, CUPTI_ACTIVITY_KIND_CONTEXT, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
    CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMSET,
};

// Who waited for what: with GPUPROBE_SYNCS=1.
const CUpti_ActivityKind kSyncKinds[] = {CUPTI_ACTIVITY_KIND_SYNCHRONIZATION, CUPTI_ACTIVITY_KIND_CUDA_EVENT};

// With GPUPROBE_CALLS=all; markers also once the program uses NVTX.
const CUpti_ActivityKind kMoreKinds[] = {
    CUPTI_ACTIVITY_KIND_MARKER,
    CUPTI_ACTIVITY_KIND_OVERHEAD,
    CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
};

// Calls that launch, move, wait, allocate or build graphs: parts of their names. The rest are queries, a dozen per
// launch.
const char *const kRuntimeCalls[] = {
    "Launch", "Memcpy",    "Memset",       "MemPrefetch",      "Synchronize", "WaitEvent",    "EventRecord", "Malloc",
    "Free",   "HostAlloc", "HostRegister", "GraphInstantiate", "GraphUpload", "BeginCapture", "EndCapture",  nullptr};
const char *const kDriverCalls[] = {"Launch",           "Memcpy",      "Memset",     "MemPrefetch", "Synchronize",
                                    "WaitEvent",        "EventRecord", "WriteValue", "WaitValue",   "BatchMemOp",
                                    "GraphInstantiate", "MemAlloc",    "MemFree",    "MemCreate",   "MemMap",
                                    "ModuleLoad",       "LibraryLoad", nullptr};

bool is_wanted(const char *name, const char *const *wanted) {
  for (; *wanted; ++wanted)
    if (strstr(name, *wanted)) return true;
  return false;
}

}  // namespace

Recorder &recorder() {
  static Recorder *instance = new Recorder;
  return *instance;
}

bool Recorder::start() {
  Guard guard(lock);
  if (started_ && owner_ == getpid()) return true;
  folder_ = from_environment("GPUPROBE_SPOOL");
  if (folder_.empty()) return false;
  buffer_bytes_ = number_from_environment("GPUPROBE_BUFFER_BYTES", kDefaultBufferBytes);
  all_calls_ = from_environment("GPUPROBE_CALLS") == "all";
  records_syncs_ = all_calls_ || from_environment("GPUPROBE_SYNCS") == "1";
  owner_ = getpid();
  if (!open_spool()) return false;
  if (!cupti().load()) {
    const char *why = dlerror();
    return refuse(why ? why : "libcupti lacks a function of the activity API"), false;
  }
  if (!subscribe()) return false;
  configure();
  write_info("");
  started_ = true;
  recording_ = true;
  enable();
  sem_init(&wake_, 0, 0);
  close_wanted_ = false;
  closed_ = false;
  pthread_t thread;
  sigset_t every, before;
  sigfillset(&every);  // the program's signals are the program's
  pthread_sigmask(SIG_SETMASK, &every, &before);
  if (pthread_create(&thread, nullptr, keep_flushing, this) == 0) pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return true;
}

bool Recorder::subscribe() {
  CUptiResult result = cupti().cuptiSubscribe(&subscriber_, on_callback, nullptr);
  if (result == CUPTI_SUCCESS) return true;
  refuse(cupti().explain(result));
  return false;
}

void Recorder::configure() {
  Cupti &c = cupti();
  c.cuptiSetThreadIdType(CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM);
  uint8_t yes = 1;
  size_t size = sizeof yes;
  // Buffers come zeroed from the pool: CUPTI would zero them on the program's thread.
  c.cuptiActivitySetAttribute(CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER, &size, &yes);
  // Where CUPTI keeps the GPU's timestamps; its default is device memory.
  if (number_from_environment("GPUPROBE_HOST_TIMESTAMPS", 0))
    c.cuptiActivitySetAttribute(CUPTI_ACTIVITY_ATTR_MEM_ALLOCATION_TYPE_HOST_PINNED, &size, &yes);
  Guard guard(pool_lock_);
  while (pool_.size() < kReadyBuffers) {
    uint8_t *buffer = static_cast<uint8_t *>(aligned_alloc(4096, buffer_bytes_));
    if (!buffer) break;
    memset(buffer, 0, buffer_bytes_);
    pool_.push_back(buffer);
  }
}

void Recorder::enable() {
  Cupti &c = cupti();
  c.cuptiActivityRegisterCallbacks(on_request, on_complete);
  if (c.enable_all_sync_records) c.enable_all_sync_records(0);
  for (CUpti_ActivityKind kind : kKinds) enable(kind);
  if (records_syncs_)
    for (CUpti_ActivityKind kind : kSyncKinds) enable(kind);
  if (all_calls_)
    for (CUpti_ActivityKind kind : kMoreKinds) enable(kind);
  else if (markers_wanted_)
    enable(CUPTI_ACTIVITY_KIND_MARKER);
  if (all_calls_ || !c.enable_runtime_api || !c.enable_driver_api) {
    c.cuptiActivityEnable(CUPTI_ACTIVITY_KIND_RUNTIME);
    c.cuptiActivityEnable(CUPTI_ACTIVITY_KIND_DRIVER);
    return;
  }
  choose_calls(CUPTI_CB_DOMAIN_RUNTIME_API, kRuntimeCalls, 1);
  choose_calls(CUPTI_CB_DOMAIN_DRIVER_API, kDriverCalls, 1);
}

void Recorder::enable(CUpti_ActivityKind kind) {
  Cupti &c = cupti();
  if (CUptiResult result = c.cuptiActivityEnable(kind))
    note("not_enabled", "activity kind " + std::to_string(kind) + ": " + c.explain(result));
}

void Recorder::want_markers() {
  markers_wanted_ = true;
  if (recording_) cupti().cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MARKER);
}

void Recorder::choose_calls(CUpti_CallbackDomain domain, const char *const *wanted, uint8_t on) {
  Cupti &c = cupti();
  auto choose = domain == CUPTI_CB_DOMAIN_RUNTIME_API ? c.enable_runtime_api : c.enable_driver_api;
  const char *name = nullptr;
  for (uint32_t cbid = 1; cbid < 2048; ++cbid)
    if (c.cuptiGetCallbackName(domain, cbid, &name) == CUPTI_SUCCESS && name && is_wanted(name, wanted))
      choose(cbid, on);
}

// The capture window is over: the program goes on without CUPTI's cost.
void Recorder::stop_recording() {
  Cupti &c = cupti();
  if (!recording_) return;
  recording_ = false;
  for (CUpti_ActivityKind kind : kKinds) c.cuptiActivityDisable(kind);
  for (CUpti_ActivityKind kind : kSyncKinds) c.cuptiActivityDisable(kind);
  for (CUpti_ActivityKind kind : kMoreKinds) c.cuptiActivityDisable(kind);
  c.cuptiActivityDisable(CUPTI_ACTIVITY_KIND_RUNTIME);
  c.cuptiActivityDisable(CUPTI_ACTIVITY_KIND_DRIVER);
  if (c.enable_runtime_api && c.enable_driver_api && !all_calls_) {
    choose_calls(CUPTI_CB_DOMAIN_RUNTIME_API, kRuntimeCalls, 0);
    choose_calls(CUPTI_CB_DOMAIN_DRIVER_API, kDriverCalls, 0);
  }
  c.cuptiActivityFlushAll(0);
}

// Delivers finished buffers again and again, so that a kill loses a fraction of a second.
void *Recorder::keep_flushing(void *self) {
  Recorder &me = *static_cast<Recorder *>(self);
  const uint64_t period_ns = number_from_environment("GPUPROBE_FLUSH_MS", 200) * 1000000ull;
  const uint64_t limit_ns = number_from_environment("GPUPROBE_MILLISECONDS", 0) * 1000000ull;
  const uint64_t begin = now_ns(CLOCK_MONOTONIC);
  while (me.started_) {
    const uint64_t spent = now_ns(CLOCK_MONOTONIC) - begin;
    const bool ends = limit_ns && me.recording_ && spent + period_ns > limit_ns;
    const uint64_t until = now_ns(CLOCK_REALTIME) + (!ends ? period_ns : limit_ns > spent ? limit_ns - spent : 0);
    const timespec due = {time_t(until / 1000000000ull), long(until % 1000000000ull)};
    sem_timedwait(&me.wake_, &due);
    if (me.close_wanted_) me.close();
    if (!me.started_) break;
    if (limit_ns && now_ns(CLOCK_MONOTONIC) - begin >= limit_ns) me.stop_recording();
    cupti().cuptiActivityFlushAll(0);
  }
  return nullptr;
}

void Recorder::close() {
  // A forked child inherits the exit handler, but not CUPTI's thread.
  if (getpid() != owner_ || !started_.exchange(false)) return;
  cupti().cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  {
    Guard guard(lock);
    write_stats(true);
    writer_.flush();
  }
  closed_ = true;
}

// For _exit, which a signal handler may call anywhere, inside CUPTI too: another thread flushes, and not for ever.
void Recorder::close_by_thread() {
  if (getpid() != owner_ || !started_) return;
  close_wanted_ = true;
  sem_post(&wake_);
  const timespec millisecond = {0, 1000000};
  for (int waited = 0; waited < kMostExitWaitMs && !closed_; ++waited) nanosleep(&millisecond, nullptr);
}

// In a forked child: its records go to a file of its own, which needs every name again.
void Recorder::forked() {
  writer_.close();
  names_.forget_written();
  started_ = false;
  recording_ = false;
  stats_ = {};
  pthread_mutex_init(&pool_lock_, nullptr);
}

bool Recorder::open_spool() {
  names_.forget_written();
  return writer_.open(folder_.c_str());
}

void Recorder::write_info(const char *refusal) {
  Cupti &c = cupti();
  const std::string payload = info_of({
      {"spool", std::to_string(spool::kVersion)},
      {"pid", std::to_string(getpid())},
      {"parent", std::to_string(getppid())},
      {"command", command_line()},
      {"cupti", c.path},
      {"cupti_version", std::to_string(c.version)},
      {"built_for", std::to_string(CUPTI_API_VERSION)},
      {"calls", all_calls_ || !c.enable_runtime_api || !c.enable_driver_api ? "all" : "launch"},
      {"rank", from_environment("RANK")},
      {"world_size", from_environment("WORLD_SIZE")},
      {"local_rank", from_environment("LOCAL_RANK")},
      {"refused", refusal},
  });
  writer_.add(spool::kInfo, 1, payload.data(), payload.size());
  if (!*refusal) write_stats(false);
  writer_.flush();
}

void Recorder::note(const char *key, const std::string &value) {
  const std::string payload = info_of({{key, value}});
  writer_.add(spool::kInfo, 1, payload.data(), payload.size());
  writer_.flush();
}

void Recorder::refuse(const char *reason) {
  write_info(reason);
  writer_.close();
}

void Recorder::request(uint8_t **buffer, size_t *size) {
  const uint64_t begin = now_ns(CLOCK_MONOTONIC);
  *size = buffer_bytes_;
  *buffer = nullptr;
  {
    Guard guard(pool_lock_);
    if (!pool_.empty()) {
      *buffer = pool_.back();
      pool_.pop_back();
    }
  }
  if (!*buffer && (*buffer = static_cast<uint8_t *>(aligned_alloc(4096, buffer_bytes_))))
    memset(*buffer, 0, buffer_bytes_);
  if (!*buffer) *size = 0;
  request_ns_ += now_ns(CLOCK_MONOTONIC) - begin;
}

void Recorder::complete(uint8_t *buffer, size_t size, size_t valid) {
  const uint64_t begin = now_ns(CLOCK_MONOTONIC);
  {
    Guard guard(lock);
    CUpti_Activity *record = nullptr;
    size_t dropped = 0;
    while (valid > 0 && cupti().cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS)
      sort_record(record);
    if (cupti().cuptiActivityGetNumDroppedRecords(nullptr, 0, &dropped) == CUPTI_SUCCESS) stats_.dropped += dropped;
    ++stats_.buffers;
    write_records();
    stats_.callback_ns += now_ns(CLOCK_MONOTONIC) - begin;
  }
  memset(buffer, 0, size);
  Guard guard(pool_lock_);
  pool_.push_back(buffer);
}
