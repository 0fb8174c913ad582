// Numbers for things seen before: 0, 1, 2, … in the order in which they first appear.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

// An array that grows; no exceptions, since none may cross into the caller.
template <typename Item>
class Array {
 public:
  ~Array() { free(items_); }
  Array() = default;
  Array(const Array &) = delete;
  Array &operator=(const Array &) = delete;

  bool reserve(int64_t wanted) {
    if (wanted <= room_) return true;
    int64_t room = room_ * 2 > wanted ? room_ * 2 : wanted + 64;
    void *moved = realloc(items_, size_t(room) * sizeof(Item));
    if (!moved) return false;
    items_ = static_cast<Item *>(moved);
    room_ = room;
    return true;
  }

  bool append(const Item *items, int64_t count) {
    if (!reserve(size_ + count)) return false;
    if (count > 0) memcpy(items_ + size_, items, size_t(count) * sizeof(Item));
    size_ += count;
    return true;
  }

  void clear() { size_ = 0; }
  int64_t size() const { return size_; }
  const Item *data() const { return items_; }
  Item &operator[](int64_t index) { return items_[index]; }
  const Item &operator[](int64_t index) const { return items_[index]; }

 private:
  Item *items_ = nullptr;
  int64_t size_ = 0, room_ = 0;
};

// Byte strings of several kinds -> numbers. The hash is seeded: a file can not choose its collisions.
class Interned {
 public:
  explicit Interned(uint64_t seed) : seed_(seed) {}

  // The number of a text; -1 where memory is short.
  int32_t number(int32_t kind, const char *text, int64_t length) {
    if (2 * (entries_.size() + 1) > slots_.size() && !grow()) return -1;
    uint64_t hash = hash_of(kind, text, length);
    int64_t mask = slots_.size() - 1;
    for (int64_t slot = int64_t(hash) & mask;; slot = (slot + 1) & mask) {
      int32_t found = slots_[slot];
      if (found < 0) return add({bytes_.size(), length, hash, kind}, text, slot);
      const Entry &entry = entries_[found];
      if (entry.hash == hash && entry.kind == kind && entry.length == length &&
          memcmp(bytes_.data() + entry.begin, text, size_t(length)) == 0)
        return found;
    }
  }

  int64_t size() const { return entries_.size(); }
  int32_t kind(int64_t number) const { return entries_[number].kind; }
  int64_t length(int64_t number) const { return entries_[number].length; }
  const char *text(int64_t number) const { return bytes_.data() + entries_[number].begin; }

 private:
  struct Entry {
    int64_t begin, length;
    uint64_t hash;
    int32_t kind;
  };

  int32_t add(const Entry &entry, const char *text, int64_t slot) {
    if (entries_.size() >= INT32_MAX || !bytes_.reserve(bytes_.size() + entry.length + 1)) return -1;
    if (!entries_.append(&entry, 1)) return -1;
    bytes_.append(text, entry.length);
    return slots_[slot] = int32_t(entries_.size() - 1);
  }

  bool grow() {
    int64_t room = slots_.size() ? 2 * slots_.size() : 1024, mask = room - 1;
    if (!slots_.reserve(room)) return false;
    int32_t none = -1;
    slots_.clear();
    for (int64_t slot = 0; slot < room; ++slot) slots_.append(&none, 1);
    for (int64_t number = 0; number < entries_.size(); ++number) {
      int64_t slot = int64_t(entries_[number].hash) & mask;
      while (slots_[slot] >= 0) slot = (slot + 1) & mask;
      slots_[slot] = int32_t(number);
    }
    return true;
  }

  uint64_t hash_of(int32_t kind, const char *text, int64_t length) const {
    uint64_t hash = seed_ ^ (uint64_t(length) * 0x9E3779B97F4A7C15u) ^ uint64_t(kind);
    for (; length >= 8; text += 8, length -= 8) hash = mixed(hash, text, 8);
    return mixed(hash, text, length);
  }

  uint64_t mixed(uint64_t hash, const char *text, int64_t length) const {
    uint64_t word = 0;
    if (length > 0) memcpy(&word, text, size_t(length));
    unsigned __int128 product = static_cast<unsigned __int128>((hash ^ word) | 1) * (seed_ | 0x8000000000000001u);
    return hash ^ uint64_t(product) ^ uint64_t(product >> 64) ^ (word << 29 | word >> 35);
  }

  uint64_t seed_;
  Array<Entry> entries_;
  Array<char> bytes_;
  Array<int32_t> slots_;
};
