// What is recorded, and when: activity kinds, API calls, and windows of time.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "recorder.h"

namespace {

// What a trace is made of. Every further kind costs each launch of the program: CUPTI looks for its records there.
const CUpti_ActivityKind kKinds[] = {
    CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
    CUPTI_ACTIVITY_KIND_MEMCPY,
    CUPTI_ACTIVITY_KIND_MEMCPY2,
    CUPTI_ACTIVITY_KIND_MEMSET,
};

// Who waited for what: with GPUPROBE_SYNCS=1.
const CUpti_ActivityKind kSyncKinds[] = {CUPTI_ACTIVITY_KIND_SYNCHRONIZATION, CUPTI_ACTIVITY_KIND_CUDA_EVENT};

// With GPUPROBE_CALLS=all.
const CUpti_ActivityKind kMoreKinds[] = {CUPTI_ACTIVITY_KIND_OVERHEAD, CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION};

// Calls that launch, move, wait, allocate or build graphs: parts of their names. The rest are queries, a dozen per
// launch.
const char *const kRuntimeCalls[] = {
    "Launch", "Memcpy",    "Memset",       "MemPrefetch",      "Synchronize", "WaitEvent",    "EventRecord", "Malloc",
    "Free",   "HostAlloc", "HostRegister", "GraphInstantiate", "GraphUpload", "BeginCapture", "EndCapture",  nullptr};
const char *const kDriverCalls[] = {"Launch",           "Memcpy",      "Memset",     "MemPrefetch", "Synchronize",
                                    "WaitEvent",        "EventRecord", "WriteValue", "WaitValue",   "BatchMemOp",
                                    "GraphInstantiate", "GraphUpload", "BeginCapture", "EndCapture", "MemAlloc",
                                    "MemFree", "MemCreate", "MemMap", "ModuleLoad", "LibraryLoad", nullptr};

std::vector<uint32_t> calls_named(CUpti_CallbackDomain domain, const char *const *wanted) {
  std::vector<uint32_t> found;
  const char *name = nullptr;
  for (uint32_t id = 1; id < 2048; ++id) {
    if (cupti().cuptiGetCallbackName(domain, id, &name) != CUPTI_SUCCESS || !name) continue;
    for (const char *const *part = wanted; *part; ++part)
      if (strstr(name, *part)) {
        found.push_back(id);
        break;
      }
  }
  return found;
}

uint64_t timestamp() {
  uint64_t now = 0;
  cupti().cuptiGetTimestamp(&now);
  return now;
}

}  // namespace

uint64_t number_from_environment(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, nullptr, 10) : otherwise;
}

std::string from_environment(const char *name) {
  const char *text = getenv(name);
  return text ? text : "";
}

// With GPUPROBE_CAPTURE=profiler-api: cudaProfilerStart begins a window, cudaProfilerStop ends it.
void CUPTIAPI on_callback(void *, CUpti_CallbackDomain domain, CUpti_CallbackId id, const void *data) {
  if (domain != CUPTI_CB_DOMAIN_DRIVER_API) return;
  const auto site = static_cast<const CUpti_CallbackData *>(data)->callbackSite;
  if (id == CUPTI_DRIVER_TRACE_CBID_cuProfilerStart && site == CUPTI_API_EXIT) recorder().begin_window();
  if (id == CUPTI_DRIVER_TRACE_CBID_cuProfilerStop && site == CUPTI_API_ENTER) recorder().end_window();
}

// Reads the order from the environment.
void Recorder::choose() {
  Cupti &c = cupti();
  calls_ = from_environment("GPUPROBE_CALLS");
  if (calls_ != "none" && calls_ != "all") calls_ = "launch";
  if (calls_ == "launch" && (!c.enable_runtime_api || !c.enable_driver_api)) calls_ = "all";
  records_syncs_ = calls_ == "all" || from_environment("GPUPROBE_SYNCS") == "1";
  whole_graphs_ = from_environment("GPUPROBE_GRAPHS") == "whole";
  if (calls_ == "launch") {
    chosen_calls_[0] = calls_named(CUPTI_CB_DOMAIN_RUNTIME_API, kRuntimeCalls);
    chosen_calls_[1] = calls_named(CUPTI_CB_DOMAIN_DRIVER_API, kDriverCalls);
  }
  by_profiler_api_ = from_environment("GPUPROBE_CAPTURE") == "profiler-api";
  const uint64_t now = now_ns(CLOCK_MONOTONIC);
  const uint64_t limit_ms = number_from_environment("GPUPROBE_MILLISECONDS", 0);
  const uint64_t delay_ms = number_from_environment("GPUPROBE_DELAY_MILLISECONDS", 0);
  const uint64_t begin = now + delay_ms * kMillisecond;
  delayed_ = delay_ms > 0;
  finished_ = false;
  limit_at_ = limit_ms ? begin + limit_ms * kMillisecond : UINT64_MAX;
  const std::string sample = from_environment("GPUPROBE_SAMPLE");  // milliseconds on:off
  const size_t colon = sample.find(':');
  sample_on_ns_ = colon == std::string::npos ? 0 : strtoull(sample.c_str(), nullptr, 10) * kMillisecond;
  sample_off_ns_ = colon == std::string::npos ? 0 : strtoull(sample.c_str() + colon + 1, nullptr, 10) * kMillisecond;
  random_ = now_ns(CLOCK_REALTIME) ^ (uint64_t(getpid()) << 32) ^ 1;
  toggle_at_ = sample_on_ns_ ? begin + pause_ns() : delayed_ ? begin : UINT64_MAX;
}

// The word for it in the file; '' where everything is recorded from the start on.
std::string Recorder::windows() const {
  return sample_on_ns_ ? "sample" : by_profiler_api_ ? "profiler-api" : delayed_ ? "delay" : "";
}

// Everything that stays enabled between windows, and the first window where no other begins it. API calls are among it:
// a function that is switched while a thread is inside it leaves all later calls of that thread with one number, so that
// no kernel finds its launch (CUPTI 13.0), and a context made while no function was on records none of those switched on
// later. What calls record outside of windows is thrown away.
void Recorder::begin_recording() {
  Cupti &c = cupti();
  if (c.enable_all_sync_records) c.enable_all_sync_records(0);
  enable(CUPTI_ACTIVITY_KIND_DEVICE);
  enable(CUPTI_ACTIVITY_KIND_CONTEXT);
  switch_calls(true);
  if (markers_wanted_ || calls_ == "all") enable(CUPTI_ACTIVITY_KIND_MARKER);
  if (by_profiler_api_) {
    for (uint32_t id : {CUPTI_DRIVER_TRACE_CBID_cuProfilerStart, CUPTI_DRIVER_TRACE_CBID_cuProfilerStop})
      c.cuptiEnableCallback(1, subscriber_, CUPTI_CB_DOMAIN_DRIVER_API, id);
  } else if (!sample_on_ns_ && !delayed_) {
    begin_window();
  }
}

void Recorder::begin_window() {
  Guard guard(window_lock_);
  if (finished_ || recording_.exchange(true)) return;
  const uint64_t begin = now_ns(CLOCK_MONOTONIC);
  begin_now();
  switch_ns_ += now_ns(CLOCK_MONOTONIC) - begin;
  ++switches_;
}

void Recorder::end_window() {
  Guard guard(window_lock_);
  if (!recording_.exchange(false)) return;
  const uint64_t begin = now_ns(CLOCK_MONOTONIC);
  end_now();
  switch_ns_ += now_ns(CLOCK_MONOTONIC) - begin;
  ++switches_;
}

// GPU work is enabled last and disabled first. The program launches on meanwhile: what was launched between the first
// two marks, or after the last, may be half recorded, and is left out afterwards (trace/record/borders.py).
void Recorder::begin_now() {
  Cupti &c = cupti();
  begin_span();
  if (records_syncs_)
    for (CUpti_ActivityKind kind : kSyncKinds) enable(kind);
  if (calls_ == "all")
    for (CUpti_ActivityKind kind : kMoreKinds) enable(kind);
  const uint64_t begin = timestamp();
  if (whole_graphs_) enable(CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
  for (CUpti_ActivityKind kind : kKinds) enable(kind);
  write_marks({{begin, spool::kBegins}, {timestamp(), spool::kAllOn}});
}

// The program goes on with the cost of its API calls alone.
void Recorder::end_now() {
  Cupti &c = cupti();
  write_marks({{timestamp(), spool::kEnds}});
  for (CUpti_ActivityKind kind : kKinds) c.cuptiActivityDisable(kind);
  if (whole_graphs_) c.cuptiActivityDisable(CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
  if (records_syncs_)
    for (CUpti_ActivityKind kind : kSyncKinds) c.cuptiActivityDisable(kind);
  if (calls_ == "all")
    for (CUpti_ActivityKind kind : kMoreKinds) c.cuptiActivityDisable(kind);
  end_span();
}

void Recorder::enable(CUpti_ActivityKind kind) {
  Cupti &c = cupti();
  if (CUptiResult result = c.cuptiActivityEnable(kind))
    note("not_enabled", "activity kind " + std::to_string(kind) + ": " + c.explain(result));
}

void Recorder::want_markers() {
  markers_wanted_ = true;
  if (started_ && !finished_) cupti().cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MARKER);
}

// Before the first window, and after the last one, where numbers matter no more.
void Recorder::switch_calls(bool on) {
  Cupti &c = cupti();
  for (uint32_t id : chosen_calls_[0]) c.enable_runtime_api(id, on);
  for (uint32_t id : chosen_calls_[1]) c.enable_driver_api(id, on);
  if (calls_ != "all") return;
  for (CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_DRIVER})
    on ? enable(kind) : void(c.cuptiActivityDisable(kind));
}

// From before anything of a window is on until after everything is off.
void Recorder::begin_span() {
  Guard guard(lock);
  spans_.push_back({timestamp(), UINT64_MAX});
}

void Recorder::end_span() {
  Guard guard(lock);
  spans_.back().end = timestamp();
}

// Whether a call ran at a time at which a window could record its GPU work. Records come after their calls, so that a
// call of a later window is not asked for before that window has begun.
bool Recorder::in_a_window(uint64_t start, uint64_t end) const {
  const auto after = std::upper_bound(spans_.begin(), spans_.end(), end,
                                      [](uint64_t time, const Span &span) { return time < span.begin; });
  return after != spans_.begin() && start <= std::prev(after)->end;
}

void Recorder::write_marks(const std::vector<spool::Mark> &marks) {
  Guard guard(lock);
  writer_.add(spool::kMark, marks);
  writer_.flush();
}

uint64_t Recorder::next_change() const { return std::min(limit_at_.load(), toggle_at_.load()); }

// Begins and ends windows that are due: of samples, after --delay, and the end of --seconds, which ends all.
void Recorder::keep_to_windows(uint64_t now) {
  if (now >= limit_at_) {
    finished_ = true;
    limit_at_ = toggle_at_ = UINT64_MAX;
    cupti().cuptiActivityDisable(CUPTI_ACTIVITY_KIND_MARKER);
    end_window();
    return switch_calls(false);
  }
  if (now < toggle_at_) return;
  const bool begins = !recording_;
  begins ? begin_window() : end_window();
  toggle_at_ = sample_on_ns_ ? now_ns(CLOCK_MONOTONIC) + (begins ? sample_on_ns_ : pause_ns()) : UINT64_MAX;
}

// Uniform from 0 to twice the mean pause, so that windows keep no step with the program's own period.
uint64_t Recorder::pause_ns() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return sample_off_ns_ ? random_ % (2 * sample_off_ns_) : 0;
}

// The program ends: its last window does too, and CUPTI stays as it is. A recording of everything goes on to the flush.
void Recorder::leave_window() {
  if (recording_.exchange(false) && (by_profiler_api_ || sample_on_ns_)) write_marks({{timestamp(), spool::kEnds}});
}
