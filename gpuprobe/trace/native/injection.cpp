// What others call: the CUDA driver (CUDA_INJECTION64_PATH), NVTX (NVTX_INJECTION64_PATH), a program that ends
// (LD_PRELOAD).
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "recorder.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

std::atomic<Recorder *> live{
    nullptr};  // of a process that uses CUDA: the library is preloaded into every other one too

void before_fork() { pthread_mutex_lock(&recorder().lock); }
void after_fork_in_parent() { pthread_mutex_unlock(&recorder().lock); }
void after_fork_in_child() {
  recorder().forked();
  pthread_mutex_unlock(&recorder().lock);
}

void at_exit() { recorder().close(); }

}  // namespace

// Called by the CUDA driver when the program initialises it. The program runs on whatever happens here.
EXPORTED int InitializeInjection(void) {
  static std::atomic<bool> hooked{false};
  if (!recorder().start()) return 1;
  live = &recorder();
  if (!hooked.exchange(true)) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    atexit(at_exit);
  }
  return 1;
}

// Called by the NVTX headers on their first use: CUPTI itself turns ranges into markers. It does not start CUDA, so
// that a program that forks after its first range and before its first CUDA call runs as it did.
EXPORTED int InitializeInjectionNvtx2(const void *(*get_export_table)(uint32_t)) {
  if (!cupti().load()) return 0;
  auto initialize =
      reinterpret_cast<int (*)(const void *(*)(uint32_t))>(dlsym(cupti().library, "InitializeInjectionNvtx2"));
  if (!initialize) return 0;
  recorder().want_markers();
  return initialize(get_export_table);
}

// The library is also preloaded, for this alone: a forked Python worker ends by _exit, which runs no exit handlers.
EXPORTED __attribute__((noreturn)) void _exit(int status) {
  if (Recorder *recorder = live) recorder->close_by_thread();
  for (;;) syscall(SYS_exit_group, status);
}

EXPORTED __attribute__((noreturn)) void _Exit(int status) { _exit(status); }
