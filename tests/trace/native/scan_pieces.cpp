// Scans each file named on the command line with one scanner, from a buffer of exactly its size, so that the address
// sanitizer sees every byte read beyond it. Prints the number of pieces that were not refused.
#include <cstdio>
#include <vector>

#include "scanner.cpp"

int main(int count, char **paths) {
  Scanner *scanner = scanner_new(42);
  std::vector<Row> rows(300);
  std::vector<Tally> tallies(5);
  std::vector<Span> spans(5);
  int good = 0;
  for (int index = 1; index < count; ++index) {
    FILE *file = fopen(paths[index], "rb");
    if (!file) return 1;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = static_cast<char *>(malloc(size_t(size)));
    if (fread(text, 1, size_t(size), file) != size_t(size)) return 1;
    fclose(file);
    Piece piece = {text, size, rows.data(), int64_t(rows.size()), 0, tallies.data(), int64_t(tallies.size()), 0,
                   spans.data(), int64_t(spans.size()), 0};
    good += scanner_scan(scanner, &piece) >= 0;
    for (int64_t number = 0; number < scanner_known(scanner); ++number) {
      int64_t length = 0;
      int32_t kind = 0;
      const char *known = scanner_text(scanner, number, &length, &kind);
      if (length > 0 && known[length - 1] == 1) puts("odd");
    }
    free(text);
  }
  scanner_free(scanner);
  printf("%d\n", good);
  return 0;
}
