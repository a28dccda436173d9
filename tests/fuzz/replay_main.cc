// Runs a fuzz target without a fuzzer: on every seed of a folder, and on a
// fixed sequence of changed seeds.
//   PROGRAM FOLDER [MUTATIONS]
// A single file in place of the folder is run alone: how a crash is replayed.
// Prints what it ran; what fails aborts. It keeps the input that it is about to
// run in FUZZ_LAST_INPUT, if that is set.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Seeds = std::vector<std::string>;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// In the order of their names.
Seeds ReadSeeds(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {ReadAll(path)};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  Seeds seeds;
  for (const auto& file : files) seeds.push_back(ReadAll(file));
  return seeds;
}

// A copy of its own size, so that a sanitizer sees reads past the end.
void Run(const std::string& input) {
  static const char* const last = std::getenv("FUZZ_LAST_INPUT");
  if (last != nullptr) std::ofstream(last, std::ios::binary) << input;
  const auto copy = std::make_unique<uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), copy.get());
  LLVMFuzzerTestOneInput(copy.get(), input.size());
}

class Mutator {
 public:
  explicit Mutator(const Seeds& seeds) : seeds_(seeds) {}

  std::string Next() {
    std::string input = seeds_[Below(seeds_.size())];
    for (size_t i = 1 + Below(4); i > 0; --i) Change(input);
    return input;
  }

 private:
  // REQUIRES: count > 0.
  size_t Below(size_t count) { return size_t(random_() % count); }

  void Change(std::string& input) {
    if (input.empty()) input.push_back('\0');
    const size_t place = Below(input.size());
    const size_t length = 1 + Below(std::min<size_t>(input.size() - place, 32));
    switch (Below(8)) {
      case 0:
        input[place] = char(uint8_t(input[place]) ^ (1u << Below(8)));
        break;
      case 1:
        input[place] = char(random_());
        break;
      case 2:
        input.erase(place, length);
        break;
      case 3:
        input.insert(place, input.substr(place, length));
        break;
      case 4:
        input.resize(place);
        break;
      case 5:
        input.insert(place, std::string(length, char(random_())));
        break;
      case 6:
        PutNumber(input, place);
        break;
      default: {
        const std::string& other = seeds_[Below(seeds_.size())];
        if (other.empty()) break;
        const size_t from = Below(other.size());
        input.replace(place, length, other, from,
                      1 + Below(std::min<size_t>(other.size() - from, 64)));
      }
    }
  }

  // One of those that lengths go wrong at, 1 to 8 bytes wide.
  void PutNumber(std::string& input, size_t place) {
    const uint64_t numbers[] = {0,
                                1,
                                UINT64_MAX,
                                INT64_MAX,
                                INT32_MAX,
                                UINT32_MAX,
                                uint64_t{1} << 31,
                                uint64_t{1} << 62,
                                input.size(),
                                input.size() + 1};
    const uint64_t number = numbers[Below(std::size(numbers))];
    const size_t width = std::min(size_t{1} << Below(4), input.size() - place);
    std::memcpy(input.data() + place, &number, width);
  }

  const Seeds& seeds_;
  std::mt19937_64 random_{20240131};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER|FILE [MUTATIONS]\n", argv[0]);
    return 2;
  }
  const Seeds seeds = ReadSeeds(argv[1]);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s has no seeds\n", argv[1]);
    return 1;
  }
  for (const std::string& seed : seeds) Run(seed);
  const long mutations = argc > 2 ? std::atol(argv[2]) : 0;
  Mutator mutator(seeds);
  for (long i = 0; i < mutations; ++i) Run(mutator.Next());
  std::printf("%zu seeds and %ld mutations\n", seeds.size(), mutations);
  return 0;
}
