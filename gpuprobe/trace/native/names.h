// Interned text, with C++ names made readable once each.
#pragma once

#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <unordered_map>
#include <vector>

// Text → id. An address may be reused for other text once a module is unloaded, so a remembered one is compared.
class Names {
 public:
  uint32_t id_of(const char *text) {
    if (!text) return 0;
    Seen &seen = recent_[(reinterpret_cast<uintptr_t>(text) >> 3) % kRecent];
    if (seen.address == text && texts_[seen.id] == text) return seen.id;
    auto found = ids_.find(text);
    uint32_t id = found == ids_.end() ? add(text) : found->second;
    seen = {text, id};
    return id;
  }

  // Names not yet written, as the payload of a name block.
  uint32_t take_new(std::string &payload) {
    uint32_t first = written_;
    for (; written_ < texts_.size(); ++written_) append(payload, written_);
    return written_ - first;
  }

  void forget_written() { written_ = 1; }

 private:
  static constexpr size_t kRecent = 4096;
  struct Seen {
    const char *address;
    uint32_t id;
  };

  uint32_t add(const char *text) {
    uint32_t id = uint32_t(texts_.size());
    texts_.emplace_back(text);
    ids_.emplace(text, id);
    return id;
  }

  void append(std::string &payload, uint32_t id) const {
    int failed = 1;
    const std::string &text = texts_[id];
    char *readable =
        text.compare(0, 2, "_Z") == 0 ? abi::__cxa_demangle(text.c_str(), nullptr, nullptr, &failed) : nullptr;
    const std::string shown = readable && failed == 0 ? readable : text;
    free(readable);
    const uint32_t head[2] = {id, uint32_t(shown.size())};
    payload.append(reinterpret_cast<const char *>(head), sizeof head);
    payload.append(shown);
    payload.append((8 - shown.size() % 8) % 8, '\0');
  }

  std::vector<std::string> texts_ = {""};
  std::unordered_map<std::string, uint32_t> ids_ = {{"", 0}};
  Seen recent_[kRecent] = {};
  uint32_t written_ = 1;
};
