// The recorder of one process: takes CUPTI's buffers, packs their records, appends them to the spool file.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cupti_library.h"
#include "names.h"
#include "spool.h"
#include "writer.h"

class Guard {
 public:
  explicit Guard(pthread_mutex_t &mutex) : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
  ~Guard() { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t &mutex_;
};

inline uint64_t now_ns(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return uint64_t(t.tv_sec) * 1000000000ull + uint64_t(t.tv_nsec);
}

constexpr uint64_t kMillisecond = 1000000;
constexpr size_t kDefaultBufferBytes = 256 << 10;

struct Span {
  uint64_t begin, end;  // CUPTI's clock, ns
};

uint64_t number_from_environment(const char *name, uint64_t otherwise);
std::string from_environment(const char *name);
void CUPTIAPI on_callback(void *, CUpti_CallbackDomain domain, CUpti_CallbackId id, const void *data);

class Recorder {
 public:
  bool start();
  void begin_window();
  void end_window();
  void want_markers();
  void close();
  void close_by_thread();
  void request(uint8_t **buffer, size_t *size);
  void complete(uint8_t *buffer, size_t size, size_t valid);

  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  void forked();

 private:
  bool open();
  bool subscribe();
  std::string other_subscriber();
  void configure();
  void choose();
  void begin_recording();
  void enable(CUpti_ActivityKind kind);
  void switch_calls(bool on);
  void begin_span();
  void end_span();
  bool in_a_window(uint64_t start, uint64_t end) const;
  void begin_now();
  void end_now();
  void write_marks(const std::vector<spool::Mark> &marks);
  void leave_window();
  std::string windows() const;
  uint64_t next_change() const;
  void keep_to_windows(uint64_t now);
  uint64_t pause_ns();
  bool open_spool();
  void write_info(const char *refusal);
  void note(const char *key, const std::string &value);
  void refuse(const char *reason);
  void sort_record(const CUpti_Activity *record);
  void write_records();
  void write_stats(bool closed);
  uint32_t call_name(CUpti_CallbackDomain domain, uint32_t cbid);
  static void *keep_flushing(void *self);

  Names names_;
  Writer writer_;
  spool::Stats stats_ = {};
  CUpti_SubscriberHandle subscriber_ = nullptr;
  pid_t owner_ = 0;
  sem_t wake_;
  std::atomic<bool> close_wanted_{false};
  std::atomic<bool> closed_{false};
  std::atomic<bool> started_{false};
  std::atomic<bool> recording_{false};  // inside a window
  std::atomic<bool> finished_{false};   // no more windows
  std::atomic<bool> markers_wanted_{false};
  pthread_mutex_t window_lock_ = PTHREAD_MUTEX_INITIALIZER;
  std::string calls_;
  bool records_syncs_ = false, whole_graphs_ = false, by_profiler_api_ = false, delayed_ = false;
  std::vector<uint32_t> chosen_calls_[2];  // callback ids of the runtime and of the driver
  std::vector<Span> spans_;                // of the windows, in order; guarded by lock
  uint64_t sample_on_ns_ = 0, sample_off_ns_ = 0, random_ = 0;
  std::atomic<uint64_t> limit_at_{UINT64_MAX}, toggle_at_{UINT64_MAX};  // CLOCK_MONOTONIC
  std::atomic<uint64_t> switches_{0}, switch_ns_{0};  // begins and ends of windows, and what they took
  size_t buffer_bytes_ = kDefaultBufferBytes;
  std::string folder_;
  std::atomic<uint64_t> request_ns_{0};
  pthread_mutex_t pool_lock_ = PTHREAD_MUTEX_INITIALIZER;
  std::vector<uint8_t *> pool_;
  std::vector<uint32_t> call_names_[2];

  std::vector<spool::Kernel> kernels_;
  std::vector<spool::Memory> memory_;
  std::vector<spool::Call> runtime_, driver_;
  std::vector<spool::Sync> syncs_;
  std::vector<spool::Event> events_;
  std::vector<spool::Marker> markers_;
  std::vector<spool::External> externals_;
  std::vector<spool::Overhead> overheads_;
  std::vector<spool::Device> devices_;
  std::vector<spool::Context> contexts_;
};

Recorder &recorder();
