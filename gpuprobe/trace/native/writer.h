// The spool file of a process.
#pragma once

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "spool.h"

// A process's file. Blocks are collected and appended with one writev, so that a kill leaves whole ones.
class Writer {
 public:
  template <typename Record>
  void add(spool::Kind kind, const std::vector<Record> &records) {
    if (!records.empty()) add(kind, uint32_t(records.size()), records.data(), records.size() * sizeof(Record));
  }

  void add(spool::Kind kind, uint32_t count, const void *payload, size_t bytes) {
    heads_[used_] = {spool::kMagic, kind, count, uint32_t(bytes)};
    parts_[2 * used_] = {&heads_[used_], sizeof(spool::Block)};
    parts_[2 * used_ + 1] = {const_cast<void *>(payload), bytes};
    ++used_;
  }

  // Bytes written; 0 where the disk refuses, and then nothing more is tried: a trace with a hole would lie.
  size_t flush() {
    size_t wanted = 0, done = 0;
    int count = 2 * used_, first = 0;
    for (int i = 0; i < count; ++i) wanted += parts_[i].iov_len;
    used_ = 0;
    while (file_ >= 0 && done < wanted) {
      ssize_t wrote = writev(file_, parts_ + first, count - first);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return close(), 0;
      done += size_t(wrote);
      for (size_t rest = size_t(wrote); first < count && rest > 0;) {
        size_t part = rest < parts_[first].iov_len ? rest : parts_[first].iov_len;
        parts_[first].iov_base = static_cast<char *>(parts_[first].iov_base) + part;
        parts_[first].iov_len -= part;
        rest -= part;
        if (parts_[first].iov_len == 0) ++first;
      }
    }
    return file_ >= 0 ? done : 0;
  }

  bool open(const char *folder) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      std::string path =
          std::string(folder) + "/" + std::to_string(getpid()) + "." + std::to_string(attempt) + ".spool";
      file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
      if (file_ >= 0) return true;
      if (errno != EEXIST) break;
    }
    return false;
  }

  void close() {
    if (file_ >= 0) ::close(file_);
    file_ = -1;
  }

  bool is_open() const { return file_ >= 0; }

 private:
  static constexpr int kMost = 20;
  int file_ = -1;
  int used_ = 0;
  spool::Block heads_[kMost];
  iovec parts_[2 * kMost];
};
