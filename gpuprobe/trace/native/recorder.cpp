// CUPTI hands over full activity buffers on its own worker thread; there the fields that a trace needs are packed into
// small records and appended to the process's spool file (spool.h). The program's threads only pay for CUPTI itself.
#include "recorder.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <utility>

namespace {

constexpr unsigned kReadyBuffers = 8;
constexpr int kMostExitWaitMs = 2000;

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

void CUPTIAPI on_request(uint8_t **buffer, size_t *size, size_t *most_records) {
  *most_records = 0;
  recorder().request(buffer, size);
}

void CUPTIAPI on_complete(CUcontext, uint32_t, uint8_t *buffer, size_t size, size_t valid) {
  recorder().complete(buffer, size, valid);
}

}  // namespace

Recorder &recorder() {
  static Recorder *instance = new Recorder;
  return *instance;
}

bool Recorder::start() {
  if (started_ && owner_ == getpid()) return true;
  {
    Guard guard(lock);
    if (!open()) return false;
  }
  cupti().cuptiActivityRegisterCallbacks(on_request, on_complete);
  started_ = true;
  begin_recording();
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

// The spool file and CUPTI; where CUPTI refuses, the file says why.
bool Recorder::open() {
  folder_ = from_environment("GPUPROBE_SPOOL");
  if (folder_.empty()) return false;
  buffer_bytes_ = number_from_environment("GPUPROBE_BUFFER_BYTES", kDefaultBufferBytes);
  owner_ = getpid();
  if (!open_spool()) return false;
  if (!cupti().load()) {
    const char *why = dlerror();
    return refuse(why ? why : "libcupti lacks a function of the activity API"), false;
  }
  if (!subscribe()) return false;
  choose();
  configure();
  write_info("");
  return true;
}

bool Recorder::subscribe() {
  CUptiResult result = cupti().cuptiSubscribe(&subscriber_, on_callback, nullptr);
  if (result == CUPTI_SUCCESS) return true;
  refuse((cupti().explain(result) + other_subscriber()).c_str());
  return false;
}

// The client that holds CUPTI, as CUPTI 13 and later name it; '' where nobody says.
std::string Recorder::other_subscriber() {
#if CUPTI_API_VERSION >= 130000
  auto again = reinterpret_cast<decltype(&::cuptiSubscribe_v2)>(dlsym(cupti().library, "cuptiSubscribe_v2"));
  char name[2 * CUPTI_OLD_SUBSCRIBER_NAME_MIN_LEN] = "";
  CUpti_SubscriberParams params = {};
  params.structSize = CUpti_SubscriberParams_STRUCT_SIZE;
  params.oldSubscriberName = name;
  params.oldSubscriberSize = sizeof name;
  CUpti_SubscriberHandle handle = nullptr;
  if (again && again(&handle, on_callback, nullptr, &params) == CUPTI_SUCCESS) cupti().cuptiUnsubscribe(handle);
  name[sizeof name - 1] = '\0';
  if (*name) return std::string(" (held by ") + name + ")";
#endif
  return "";
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

// Delivers finished buffers again and again, so that a kill loses a fraction of a second, and keeps to the windows.
void *Recorder::keep_flushing(void *self) {
  Recorder &me = *static_cast<Recorder *>(self);
  const uint64_t period_ns = number_from_environment("GPUPROBE_FLUSH_MS", 200) * kMillisecond;
  uint64_t flush_at = now_ns(CLOCK_MONOTONIC) + period_ns;
  while (me.started_) {
    const uint64_t now = now_ns(CLOCK_MONOTONIC), next = std::min(flush_at, me.next_change());
    const uint64_t until = now_ns(CLOCK_REALTIME) + (next > now ? next - now : 0);
    const timespec due = {time_t(until / 1000000000ull), long(until % 1000000000ull)};
    sem_timedwait(&me.wake_, &due);
    if (me.close_wanted_) me.close();
    if (!me.started_) break;
    me.keep_to_windows(now_ns(CLOCK_MONOTONIC));
    if (now_ns(CLOCK_MONOTONIC) < flush_at) continue;
    cupti().cuptiActivityFlushAll(0);
    flush_at = now_ns(CLOCK_MONOTONIC) + period_ns;
  }
  return nullptr;
}

void Recorder::close() {
  // A forked child inherits the exit handler, but not CUPTI's thread.
  if (getpid() != owner_ || !started_.exchange(false)) return;
  leave_window();
  cupti().cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  {
    Guard guard(lock);
    if (switches_) {
      const std::string took = std::to_string(switches_) + " " + std::to_string(switch_ns_);
      const std::string payload = info_of({{"window_switches", took}});
      writer_.add(spool::kInfo, 1, payload.data(), payload.size());
      writer_.flush();
    }
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
  spans_.clear();
  switches_ = switch_ns_ = 0;
  pthread_mutex_init(&pool_lock_, nullptr);
  pthread_mutex_init(&window_lock_, nullptr);
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
      {"calls", calls_},
      {"graphs", whole_graphs_ ? "whole" : "nodes"},
      {"windows", windows()},
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
  Guard guard(lock);
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
