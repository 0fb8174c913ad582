// Kineto and Chrome events -> rows of numbers. A piece of a trace (a JSON array of events) is either read whole, by the
// same rules as the Python reader's, or refused (-1) and then read by that one: nothing is guessed here.
#include <new>

#include "intern.h"
#include "json.h"

namespace {

enum Kind : int32_t { kText, kLabel, kConfig, kShapes, kDetail, kLane };

constexpr int32_t kAbsent = -1;
constexpr int64_t kNoBytes = -1, kNoStream = -1;

// A complete event (phase X). Text, labels and lanes are numbers of Interned, -1 where absent.
struct Row {
  int64_t start = 0, dur = 0, correlation = 0, external = 0, bytes = kNoBytes, graph = 0, node = 0;
  int64_t wait_stream = kNoStream, wait_correlation = 0;
  int32_t name = kAbsent, category = kAbsent, thread = kAbsent, lane = kAbsent;
  int32_t config = kAbsent, shapes = kAbsent, detail = kAbsent, unused = 0;
};

// Other events of a phase and category, and how many.
struct Tally {
  int32_t phase, category;
  int64_t count;
};

// Where in the piece an event stands that Python takes apart (phases B, E, C and M).
struct Span {
  int64_t begin, length;
};

// What a piece holds. The caller gives the room: `rows_room` and so on.
struct Piece {
  const char *text;
  int64_t length;
  Row *rows;
  int64_t rows_room, rows_used;
  Tally *tallies;
  int64_t tallies_room, tallies_used;
  Span *spans;
  int64_t spans_room, spans_used;
};

// Arguments kept as their JSON text.
struct Raws {
  Slice grid, block, registers, shared;
  Slice dims, types, strides, values;
  Slice collective, in_elements, out_elements, dtype, group_size, group;
};

// What is read of an event before it is known to be complete.
struct Draft {
  int32_t phase = 0;
  bool timed = false;
  int32_t labels[4] = {kAbsent, kAbsent, kAbsent, kAbsent};  // process, thread, device, stream
  Raws raws;
};

class Scanner {
 public:
  explicit Scanner(uint64_t seed) : known_(seed) {}

  // The number of events, -1 where the piece is left to Python.
  int64_t scan(Piece *piece) {
    Json json(piece->text, piece->length);
    int64_t count = 0;
    piece->rows_used = piece->tallies_used = piece->spans_used = 0;
    json.space();
    if (!json.take('[')) return -1;
    json.space();
    if (!json.take(']')) {
      for (bool more = true; more; ++count) {
        if (piece->rows_used == piece->rows_room || !event(&json, piece) || !json.next(']', &more)) return -1;
      }
    }
    json.space();
    return json.at_end() ? count : -1;
  }

  const Interned &known() const { return known_; }

 private:
  bool event(Json *json, Piece *piece) {
    const char *begin = json->here();
    Row *row = &piece->rows[piece->rows_used];
    Draft draft;
    *row = Row();
    if (!json->take('{')) return false;
    json->space();
    if (json->take('}')) return false;
    for (bool more = true; more;) {
      Slice key;
      if (!json->key(&key) || !field(json, key, row, &draft) || !json->next('}', &more)) return false;
    }
    if (draft.phase == 'X') return ++piece->rows_used, draft.timed && lanes(draft.labels, row) && texts(draft.raws, row);
    if (draft.phase == 0 || !strchr("BECMstfiIbneNODPVvRc(),=ST", draft.phase)) return false;
    if (strchr("BECM", draft.phase)) {
      if (piece->spans_used == piece->spans_room) return false;
      piece->spans[piece->spans_used++] = {begin - piece->text, json->here() - begin};
    }
    return tally(draft.phase, row->category, piece);
  }

  bool tally(int32_t phase, int32_t category, Piece *piece) {
    for (int64_t index = piece->tallies_used - 1; index >= 0; --index) {
      Tally &tally = piece->tallies[index];
      if (tally.phase == phase && tally.category == category) return ++tally.count, true;
    }
    if (piece->tallies_used == piece->tallies_room) return false;
    piece->tallies[piece->tallies_used++] = {phase, category, 1};
    return true;
  }

  // The phase stands first in Kineto's events: of others than X only the category is read.
  bool field(Json *json, Slice key, Row *row, Draft *draft) {
    bool complete = draft->phase == 'X' || draft->phase == 0;
    switch (key.length) {
      case 2:
        if (key.is("ph", 2)) return phase(json, &draft->phase);
        if (key.is("ts", 2) && complete) return draft->timed = true, json->nanoseconds(&row->start);
        break;
      case 3:
        if (key.is("cat", 3)) return text(json, &row->category);
        if (key.is("pid", 3) && complete) return label(json, &draft->labels[0]);
        if (key.is("tid", 3) && complete) return label(json, &draft->labels[1]);
        if (key.is("dur", 3) && complete) return json->nanoseconds(&row->dur);
        break;
      case 4:
        if (key.is("name", 4) && complete) return text(json, &row->name);
        if (key.is("args", 4) && complete) return arguments(json, row, draft->labels, &draft->raws);
        break;
    }
    return json->skip();
  }

  bool arguments(Json *json, Row *row, int32_t *labels, Raws *raws) {
    row->correlation = row->external = row->graph = row->node = row->wait_correlation = 0;
    row->bytes = kNoBytes, row->wait_stream = kNoStream;
    labels[2] = labels[3] = kAbsent;
    *raws = Raws();
    if (!json->take('{')) return false;
    json->space();
    if (json->take('}')) return true;
    for (bool more = true; more;) {
      Slice key;
      if (!json->key(&key) || !argument(json, key, row, labels, raws) || !json->next('}', &more)) return false;
    }
    return true;
  }

  bool argument(Json *json, Slice key, Row *row, int32_t *labels, Raws *raws) {
    switch (key.length) {
      case 4:
        if (key.is("grid", 4)) return raw(json, &raws->grid);
        break;
      case 5:
        if (key.is("block", 5)) return raw(json, &raws->block);
        if (key.is("bytes", 5)) return bytes(json, &row->bytes);
        if (key.is("dtype", 5)) return raw(json, &raws->dtype);
        break;
      case 6:
        if (key.is("device", 6)) return label(json, &labels[2]);
        if (key.is("stream", 6)) return label(json, &labels[3]);
        break;
      case 8:
        if (key.is("graph id", 8)) return json->whole(&row->graph);
        break;
      case 10:
        if (key.is("Input Dims", 10)) return raw(json, &raws->dims);
        if (key.is("Input type", 10)) return raw(json, &raws->types);
        if (key.is("Group size", 10)) return raw(json, &raws->group_size);
        break;
      case 11:
        if (key.is("External id", 11)) return json->whole(&row->external);
        if (key.is("correlation", 11)) return json->whole(&row->correlation);
        break;
      case 13:
        if (key.is("Input Strides", 13)) return raw(json, &raws->strides);
        if (key.is("shared memory", 13)) return raw(json, &raws->shared);
        if (key.is("graph node id", 13)) return json->whole(&row->node);
        if (key.is("In msg nelems", 13)) return raw(json, &raws->in_elements);
        break;
      case 14:
        if (key.is("wait_on_stream", 14)) return json->whole(&row->wait_stream);
        if (key.is("Out msg nelems", 14)) return raw(json, &raws->out_elements);
        break;
      case 15:
        if (key.is("Concrete Inputs", 15)) return raw(json, &raws->values);
        if (key.is("Collective name", 15)) return raw(json, &raws->collective);
        break;
      case 18:
        if (key.is("Process Group Name", 18)) return raw(json, &raws->group);
        break;
      case 20:
        if (key.is("registers per thread", 20)) return raw(json, &raws->registers);
        break;
      case 33:
        if (key.is("wait_on_cuda_event_record_corr_id", 33)) return json->whole(&row->wait_correlation);
        break;
    }
    return json->skip();
  }

  // A number of bytes, which AMD's traces write as text.
  bool bytes(Json *json, int64_t *number) {
    bool quoted = json->take('"');
    return json->whole(number) && (!quoted || json->take('"'));
  }

  bool phase(Json *json, int32_t *phase) {
    Slice text;
    bool escaped;
    if (*phase != 0 || !json->string(&text, &escaped) || escaped || text.length != 1) return false;
    *phase = text.at[0];
    return *phase > 0;
  }

  bool text(Json *json, int32_t *number) {
    Slice text;
    bool escaped;
    if (json->next_is('n')) return *number = kAbsent, json->word("null", 4);
    if (!json->string(&text, &escaped)) return false;
    *number = known_.number(kText, text.at, text.length);
    return *number >= 0;
  }

  // The name of a process, thread, device or stream: an integer or a string, as its JSON text.
  bool label(Json *json, int32_t *number) {
    const char *begin = json->here();
    Slice text;
    bool escaped;
    int64_t value;
    if (json->next_is('n')) return *number = kAbsent, json->word("null", 4);
    if (!(json->next_is('"') ? json->string(&text, &escaped) : json->whole(&value))) return false;
    Slice all = json->since(begin);
    *number = known_.number(kLabel, all.at, all.length);
    return *number >= 0;
  }

  bool raw(Json *json, Slice *slice) {
    const char *begin = json->here();
    if (!json->skip()) return false;
    *slice = json->since(begin);
    return true;
  }

  // Lanes of the thread alone (four labels, the last two kNone) and with device and stream.
  bool lanes(const int32_t *labels, Row *row) {
    constexpr int32_t kNone = -2;
    if (memcmp(labels, last_labels_, sizeof last_labels_) != 0) {
      int32_t thread[4] = {labels[0], labels[1], kNone, kNone};
      last_thread_ = known_.number(kLane, reinterpret_cast<const char *>(thread), sizeof thread);
      last_lane_ = known_.number(kLane, reinterpret_cast<const char *>(labels), sizeof thread);
      memcpy(last_labels_, labels, sizeof last_labels_);
    }
    row->thread = last_thread_;
    row->lane = last_lane_;
    return last_thread_ >= 0 && last_lane_ >= 0;
  }

  bool texts(const Raws &raws, Row *row) {
    const Slice config[] = {raws.grid, raws.block, raws.registers, raws.shared};
    const Slice shapes[] = {raws.dims, raws.types, raws.strides, raws.values};
    const Slice detail[] = {raws.collective, raws.in_elements, raws.out_elements,
                            raws.dtype,      raws.group_size,  raws.group};
    return (raws.grid.length == 0 || joined(kConfig, config, 4, &row->config)) &&
           (raws.dims.length == 0 || joined(kShapes, shapes, 4, &row->shapes)) &&
           (raws.in_elements.length == 0 || joined(kDetail, detail, 6, &row->detail));
  }

  // The parts with a zero byte between them, which no JSON text holds.
  bool joined(Kind kind, const Slice *parts, int count, int32_t *number) {
    scratch_.clear();
    for (int part = 0; part < count; ++part) {
      if (part > 0 && !scratch_.append("", 1)) return false;
      if (!scratch_.append(parts[part].at, parts[part].length)) return false;
    }
    *number = known_.number(kind, scratch_.data(), scratch_.size());
    return *number >= 0;
  }

  Interned known_;
  Array<char> scratch_;
  int32_t last_labels_[4] = {-3, -3, -3, -3}, last_thread_ = kAbsent, last_lane_ = kAbsent;
};

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED Scanner *scanner_new(uint64_t seed) {
  void *room = malloc(sizeof(Scanner));
  return room ? new (room) Scanner(seed) : nullptr;
}
EXPORTED void scanner_free(Scanner *scanner) {
  scanner->~Scanner();
  free(scanner);
}

EXPORTED int64_t scanner_scan(Scanner *scanner, Piece *piece) { return scanner->scan(piece); }

// What has been numbered so far: how many, and of one of them its kind, bytes and their number.
EXPORTED int64_t scanner_known(const Scanner *scanner) { return scanner->known().size(); }
EXPORTED const char *scanner_text(const Scanner *scanner, int64_t number, int64_t *length, int32_t *kind) {
  *length = scanner->known().length(number);
  *kind = scanner->known().kind(number);
  return scanner->known().text(number);
}
