// JSON read strictly from a bounded text. Everything here returns false where the text is not plain, valid JSON of the
// kind asked for; the caller then leaves the whole piece to the Python reader, which judges what is odd.
#pragma once

#include <cstdint>
#include <cstring>

struct Slice {
  const char *at = nullptr;
  int64_t length = 0;

  bool is(const char *text, int64_t size) const { return length == size && memcmp(at, text, size_t(size)) == 0; }
};

class Json {
 public:
  Json(const char *at, int64_t length) : at_(at), end_(at + length) {}

  const char *here() const { return at_; }
  bool at_end() const { return at_ == end_; }
  Slice since(const char *begin) const { return {begin, at_ - begin}; }

  void space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  bool take(char mark) {
    if (at_ == end_ || *at_ != mark) return false;
    ++at_;
    return true;
  }

  bool next_is(char mark) const { return at_ < end_ && *at_ == mark; }

  // A string; `text` is what stands between the quotes, escapes as they are.
  bool string(Slice *text, bool *escaped) {
    *escaped = false;
    if (!take('"')) return false;
    const char *begin = at_;
    while (plain_run()) {
      if (*at_ == '"') {
        *text = since(begin);
        ++at_;
        return true;
      }
      if (*at_ != '\\' || !escape()) return false;
      *escaped = true;
    }
    return false;
  }

  // A key and its colon; one with escapes could be spelt in two ways and is refused.
  bool key(Slice *text) {
    bool escaped;
    if (!string(text, &escaped) || escaped) return false;
    space();
    if (!take(':')) return false;
    space();
    return true;
  }

  // After a member or element: more of them (true in `more`), or the end by `close`.
  bool next(char close, bool *more) {
    space();
    *more = take(',');
    if (*more) space();
    return *more || take(close);
  }

  // An integer of at most 18 digits.
  bool whole(int64_t *value) {
    bool negative = take('-');
    int digits = 0;
    if (!digits_of(18, value, &digits) || (negative && *value == 0)) return false;
    if (negative) *value = -*value;
    return !continues();
  }

  // Microseconds as a plain decimal -> nanoseconds, half to even.
  bool nanoseconds(int64_t *ns) {
    constexpr int64_t kLimitUs = (int64_t(1) << 61) / 1000;
    bool negative = take('-');
    int64_t value = 0, fraction = 0;
    int digits = 0, places = 0;
    if (!digits_of(16, &value, &digits) || value >= kLimitUs) return false;
    if (take('.')) {
      const char *begin = at_;
      while (at_ < end_ && *at_ >= '0' && *at_ <= '9' && at_ - begin < 18) fraction = fraction * 10 + (*at_++ - '0');
      places = int(at_ - begin);
      if (places == 0) return false;
    }
    if (continues()) return false;
    for (; places < 3; ++places) fraction *= 10;
    int64_t unit = 1;
    for (; places > 3; --places) unit *= 10;
    int64_t whole = value * 1000 + fraction / unit, rest = fraction % unit;
    if (2 * rest > unit || (2 * rest == unit && whole % 2 == 1)) ++whole;
    *ns = negative ? -whole : whole;
    return true;
  }

  bool word(const char *text, int64_t size) {
    if (end_ - at_ < size || memcmp(at_, text, size_t(size)) != 0) return false;
    at_ += size;
    return true;
  }

  // Any value, without looking at what it says.
  bool skip(int depth = 0) {
    if (at_ == end_ || depth > kDeepest) return false;
    Slice text;
    bool escaped;
    switch (*at_) {
      case '"': return string(&text, &escaped);
      case '{': return ++at_, members(depth + 1);
      case '[': return ++at_, elements(depth + 1);
      case 't': return word("true", 4);
      case 'f': return word("false", 5);
      case 'n': return word("null", 4);
      default: return number();
    }
  }

 private:
  static constexpr int kDeepest = 60;

  bool members(int depth) {
    space();
    if (take('}')) return true;
    for (bool more = true; more;) {
      Slice name;
      bool escaped;
      if (!string(&name, &escaped)) return false;
      space();
      if (!take(':')) return false;
      space();
      if (!skip(depth) || !next('}', &more)) return false;
    }
    return true;
  }

  bool elements(int depth) {
    space();
    if (take(']')) return true;
    for (bool more = true; more;) {
      if (!skip(depth) || !next(']', &more)) return false;
    }
    return true;
  }

  bool number() {
    take('-');
    if (!take('0') && !some_digits()) return false;
    if (take('.') && !some_digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!some_digits()) return false;
    }
    return true;
  }

  bool some_digits() {
    const char *begin = at_;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ > begin;
  }

  // The digits of an integer without a leading zero.
  bool digits_of(int most, int64_t *value, int *digits) {
    const char *begin = at_;
    int64_t number = 0;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9' && at_ - begin <= most) number = number * 10 + (*at_++ - '0');
    *digits = int(at_ - begin);
    *value = number;
    return *digits >= 1 && *digits <= most && (*digits == 1 || *begin != '0');
  }

  // Whether a number goes on here, so that what was read is not all of it.
  bool continues() const {
    return at_ < end_ && ((*at_ >= '0' && *at_ <= '9') || *at_ == '.' || *at_ == 'e' || *at_ == 'E');
  }

  // Go to the next quote or backslash of a string; false at the end or at a control character.
  bool plain_run() {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    constexpr uint64_t kOnes = 0x0101010101010101u, kTops = 0x8080808080808080u;
    for (; end_ - at_ >= 8; at_ += 8) {
      uint64_t word, quote, slash;
      memcpy(&word, at_, 8);
      quote = word ^ (kOnes * '"');
      slash = word ^ (kOnes * '\\');
      uint64_t found = ((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | ((word - kOnes * ' ') & ~word);
      if (found &= kTops) {
        at_ += __builtin_ctzll(found) >> 3;
        return uint8_t(*at_) >= ' ';
      }
    }
#endif
    while (at_ < end_ && *at_ != '"' && *at_ != '\\' && uint8_t(*at_) >= ' ') ++at_;
    return at_ < end_ && uint8_t(*at_) >= ' ';
  }

  bool escape() {
    ++at_;
    if (at_ == end_) return false;
    char kind = *at_++;
    if (kind != 'u') return kind != 0 && strchr("\"\\/bfnrt", kind) != nullptr;
    if (end_ - at_ < 4) return false;
    for (int place = 0; place < 4; ++place, ++at_) {
      bool hex = (*at_ >= '0' && *at_ <= '9') || (*at_ >= 'a' && *at_ <= 'f') || (*at_ >= 'A' && *at_ <= 'F');
      if (!hex) return false;
    }
    return true;
  }

  const char *at_;
  const char *end_;
};
