// The walk through a forest of oblivious trees (predict/forest.py), to the bit as numpy does it there.
//
// A leaf's number is the answers' bits. Leaves are whole numbers, whose sums are the same in any order: one row and
// many, this and numpy, give the same outputs on every machine.
#include <math.h>

#include <cstdint>
#include <cstring>

namespace {

constexpr int kFeatures = 128;  // most features of a row
constexpr int kWidth = 16;      // most outputs of a tree
constexpr int kLevels = 8;      // questions stored for a tree; those from its depth on are not asked
constexpr int kRows = 64;       // rows that go through the trees together: their features stay in the L1 cache

typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Wholes __attribute__((vector_size(16)));
constexpr int kLanes = 4;
constexpr int kTogether = 4;  // vectors of rows that one question is asked of at once
constexpr int kInputs = 4;      // of a tape: m, n, k, layout
constexpr int kPlaces = 1024;   // most numbers of a tape: inputs, constants, results

}  // namespace

extern "C" {

// As native/forest.py's Trees.
struct Trees {
  const int16_t *feature;  // (trees, kLevels)
  const float *threshold;  // (trees, kLevels)
  const int32_t *leaves;   // (trees, 2^depth, width), in units of `unit`
  const double *base;      // (outputs)
  double unit;
  // The leading `first` trees speak of the leading outputs, the others, where there are any, of the second half.
  int64_t trees, first, depth, width, outputs, features;
};

// As native/forest.py's Tape: formulas (predict/tape.py), whose results are a forest's features and what else is kept.
struct Tape {
  const Trees *forest;
  const double *constants;
  const int32_t *code;    // (operations, 3): the operation and its two places
  const int32_t *places;  // of the features, then of what is kept
  int64_t constant_count, operations, features, kept;
};
}

namespace {

template <typename Vector, typename Number>
inline Vector load(const Number *from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <typename Vector, typename Number>
inline void store(Number *to, Vector vector) {
  std::memcpy(to, &vector, sizeof vector);
}

// Adds a leaf to sums; most leaves are one vector wide.
template <bool kOneVector>
inline void add(int32_t *sums, const int32_t *leaf, int64_t width) {
  if (kOneVector) {
    store(sums, load<Wholes>(sums) + load<Wholes>(leaf));
  } else {
    for (int64_t output = 0; output < width; ++output) sums[output] += leaf[output];
  }
}

template <int kDepth>
inline int64_t leaf_of(const float *row, const int16_t *feature, const float *threshold) {
  int64_t leaf = 0;
  for (int level = 0; level < kDepth; ++level) leaf |= int64_t(row[feature[level]] > threshold[level]) << level;
  return leaf;
}

template <int kDepth>
void one(const Trees &forest, const float *row, int64_t begin, int64_t end, int32_t *sums) {
  const int64_t width = forest.width, size = width << kDepth;
  const int32_t *leaves = forest.leaves + begin * size;
  const int16_t *feature = forest.feature + begin * kLevels;
  const float *threshold = forest.threshold + begin * kLevels;
  const bool one_vector = width == kLanes;
  for (int64_t tree = begin; tree < end; ++tree) {
    const int32_t *leaf = leaves + leaf_of<kDepth>(row, feature, threshold) * width;
    one_vector ? add<true>(sums, leaf, width) : add<false>(sums, leaf, width);
    leaves += size, feature += kLevels, threshold += kLevels;
  }
}

using One = void (*)(const Trees &, const float *, int64_t, int64_t, int32_t *);
constexpr One kOne[kLevels] = {one<1>, one<2>, one<3>, one<4>, one<5>, one<6>, one<7>, one<8>};

// The leaf of each of kRows rows, whose features are columns of kRows.
inline void leaves_of(const float *columns, const int16_t *feature, const float *threshold, int64_t depth,
                      int32_t *leaf) {
  const float *column[kLevels];
  Floats above[kLevels];
  for (int64_t level = 0; level < depth; ++level) {
    column[level] = columns + feature[level] * kRows;
    above[level] = Floats{} + threshold[level];
  }
  for (int row = 0; row < kRows; row += kTogether * kLanes) {
    Wholes found[kTogether] = {};
    for (int64_t level = depth - 1; level >= 0; --level) {
      for (int part = 0; part < kTogether; ++part) {
        const Floats values = load<Floats>(column[level] + row + part * kLanes);
        found[part] += found[part] - (values > above[level]);  // a true lane is -1
      }
    }
    for (int part = 0; part < kTogether; ++part) store(leaf + row + part * kLanes, found[part]);
  }
}

template <bool kOneVector>
void many(const Trees &forest, const float *columns, int64_t begin, int64_t end, int32_t *sums) {
  const int64_t width = forest.width, size = width << forest.depth;
  const int32_t *leaves = forest.leaves + begin * size;
  for (int64_t tree = begin; tree < end; ++tree, leaves += size) {
    int32_t leaf[kRows];
    leaves_of(columns, forest.feature + tree * kLevels, forest.threshold + tree * kLevels, forest.depth, leaf);
    for (int row = 0; row < kRows; ++row) add<kOneVector>(sums + row * width, leaves + leaf[row] * width, width);
  }
}

// The outputs of some trees, which are those from `at` on.
void put(const Trees &forest, const int32_t *sums, int64_t at, int64_t count, double *out) {
  for (int64_t output = 0; output < count; ++output)
    out[at + output] = sums[output] * forest.unit + forest.base[at + output];  // unit is a power of two: exact
}

// As predict/tape.py's OPERATIONS.
enum Operation { kAdd, kSub, kMul, kDiv, kMin, kMax, kLog, kCeil, kGcd, kGe, kLe };

inline int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// As Python does it, of numbers that are none of them NaN.
inline double result(int32_t operation, double a, double b) {
  switch (operation) {
    case kAdd: return a + b;
    case kSub: return a - b;
    case kMul: return a * b;
    case kDiv: return a / b;
    case kMin: return b < a ? b : a;
    case kMax: return b > a ? b : a;
    case kLog: return log(a);
    case kCeil: return ceil(a);
    case kGcd: return double(common_divisor(int64_t(a), int64_t(b)));
    case kGe: return a >= b;
    default: return a <= b;
  }
}

inline int64_t of_first(const Trees &forest) {
  return forest.first < forest.trees ? forest.outputs / 2 : forest.outputs;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

// The outputs for one row of features.
EXPORTED void forest_one(const Trees *forest, const double *row, double *out) {
  float values[kFeatures];
  for (int64_t feature = 0; feature < forest->features; ++feature) values[feature] = float(row[feature]);
  const One walk = kOne[forest->depth - 1];
  const int64_t half = of_first(*forest);
  int32_t sums[kWidth] = {};
  walk(*forest, values, 0, forest->first, sums);
  put(*forest, sums, 0, half, out);
  if (half == forest->outputs) return;
  int32_t others[kWidth] = {};
  walk(*forest, values, forest->first, forest->trees, others);
  put(*forest, others, half, forest->outputs - half, out);
}

// The outputs (rows, outputs) for a table (features, rows).
EXPORTED void forest_many(const Trees *forest, const float *table, int64_t rows, double *out) {
  const auto walk = forest->width == kLanes ? many<true> : many<false>;
  const int64_t half = of_first(*forest), outputs = forest->outputs;
  float columns[kFeatures * kRows] = {};
  for (int64_t start = 0; start < rows; start += kRows) {
    const int64_t count = rows - start < kRows ? rows - start : kRows;
    for (int64_t feature = 0; feature < forest->features; ++feature)
      std::memcpy(columns + feature * kRows, table + feature * rows + start, size_t(count) * sizeof(float));
    for (int64_t at = 0; at < outputs; at += half) {
      int32_t sums[kRows * kWidth] = {};
      walk(*forest, columns, at ? forest->first : 0, at ? forest->trees : forest->first, sums);
      for (int64_t row = 0; row < count; ++row)
        put(*forest, sums + row * forest->width, at, half, out + (start + row) * outputs);
    }
  }
}

// Plays a tape for one GEMM and walks through its forest: the forest's outputs, the features, what is kept.
EXPORTED void forest_query(const Tape *tape, double m, double n, double k, double nn, double *out) {
  double numbers[kPlaces];
  numbers[0] = m, numbers[1] = n, numbers[2] = k, numbers[3] = nn;
  int64_t at = kInputs;
  for (int64_t index = 0; index < tape->constant_count; ++index) numbers[at++] = tape->constants[index];
  const int32_t *code = tape->code;
  for (int64_t index = 0; index < tape->operations; ++index, code += 3)
    numbers[at++] = result(code[0], numbers[code[1]], numbers[code[2]]);
  double *features = out + tape->forest->outputs;
  for (int64_t index = 0; index < tape->features + tape->kept; ++index) features[index] = numbers[tape->places[index]];
  forest_one(tape->forest, features, out);
}
