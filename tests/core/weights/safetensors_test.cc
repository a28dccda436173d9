#include "core/weights/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/base/temp_dir.h"
#include "tests/core/weights/safetensors_bytes.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using std::string_literals::operator""s;

// Two tensors, a scalar, an empty one and metadata; 22 bytes of data.
std::string GoodHeader() {
  return R"({"__metadata__":{"format":"pt"},)"
         R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
         R"("empty":{"dtype":"F32","shape":[0,3],"data_offsets":[16,16]},)"
         R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]},)"
         R"("scalar":{"dtype":"F16","shape":[],"data_offsets":[20,22]}})";
}

std::string GoodFile() {
  return SafetensorsBytes(GoodHeader(), RawBytes<float>({1, 2, 3, 4}) +
                                            "\x80\x3f\x00\x40"s + "\x00\x3c"s);
}

void ExpectRefused(const std::string& file, const std::string& fragment) {
  const absl::Status status = ParseSafetensorsHeader(AsSpan(file)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(GetErrorDetail(status).value_or(ErrorDetail{}).reason,
            "WEIGHTS_INVALID");
  EXPECT_THAT(std::string(status.message()), HasSubstr(fragment));
}

TEST(ParseSafetensorsHeader, GoodFile) {
  const std::string file = GoodFile();
  absl::StatusOr<SafetensorsHeader> header =
      ParseSafetensorsHeader(AsSpan(file));
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_THAT(header->metadata, ElementsAre(Pair("format", "pt")));
  ASSERT_EQ(header->entries.size(), 4u);
  const uint64_t data = 8 + GoodHeader().size();
  EXPECT_EQ(header->entries[0].name, "a");
  EXPECT_EQ(header->entries[0].begin, data);
  EXPECT_EQ(header->entries[0].end, data + 16);
  EXPECT_THAT(header->entries[0].shape, ElementsAre(2, 2));
  EXPECT_EQ(header->entries[1].name, "empty");
  EXPECT_EQ(header->entries[1].begin, header->entries[1].end);
  EXPECT_EQ(header->entries[2].dtype, DType::kBF16);
  EXPECT_EQ(header->entries[3].name, "scalar");
  EXPECT_TRUE(header->entries[3].shape.empty());
  EXPECT_EQ(header->entries[3].end, file.size());
}

TEST(ParseSafetensorsHeader, AllowedOddities) {
  // Trailing spaces, which writers add to align the data.
  EXPECT_TRUE(
      ParseSafetensorsHeader(AsSpan(SafetensorsBytes("{}       ", ""))).ok());
  // No tensor at all.
  EXPECT_TRUE(ParseSafetensorsHeader(AsSpan(SafetensorsBytes("{}", ""))).ok());
  // Written in another order than that of the data.
  EXPECT_TRUE(ParseSafetensorsHeader(
                  AsSpan(SafetensorsBytes(
                      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
                      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                      "xy")))
                  .ok());
  // A header length that reads like the magic number of a zip archive.
  const std::string header = "{}" + std::string(0x04034b50 - 2, ' ');
  ASSERT_EQ(LittleEndian64(header.size()).substr(0, 4), "PK\x03\x04");
  EXPECT_TRUE(
      ParseSafetensorsHeader(AsSpan(SafetensorsBytes(header, ""))).ok());
}

TEST(ParseSafetensorsHeader, EveryElementTypeHasItsSize){
#define LH_CHECK_DTYPE(id, name, bytes)             \
  {                                                 \
    const std::string data(3 * (bytes), 'x');       \
    SafetensorsBuilder builder;                     \
    builder.Add("t", name, {3}, data);              \
    const std::string file = builder.Build();       \
    absl::StatusOr<SafetensorsHeader> header =      \
        ParseSafetensorsHeader(AsSpan(file));       \
    ASSERT_TRUE(header.ok()) << header.status();    \
    EXPECT_EQ(header->entries[0].dtype, DType::id); \
  }
    LH_DTYPE_LIST(LH_CHECK_DTYPE)
#undef LH_CHECK_DTYPE
}

// One tensor "t" with 4 bytes of data.
std::string OneTensor(const std::string& body, const std::string& data) {
  return SafetensorsBytes("{\"t\":" + body + "}", data);
}

struct BadFile {
  const char* what;
  std::string file;
  std::string fragment;
};

std::vector<BadFile> FilesWithABadFrame() {
  const std::string header = GoodHeader();
  return {
      {"empty", "", "the file is empty"},
      {"short length", "\x02\0\0"s, "only 3 bytes"},
      {"length only", LittleEndian64(2), "ends after 0"},
      {"length 0", LittleEndian64(0) + "{}", "does not start with '{'"},
      {"length too long", LittleEndian64(100) + "{}", "the header is 100"},
      {"length above the cap", LittleEndian64(100'000'001) + "{}",
       "more than 100000000"},
      {"length 2^63", LittleEndian64(uint64_t{1} << 63) + "{}", "more than"},
      {"length 2^64-1", LittleEndian64(~uint64_t{0}) + "{}", "more than"},
      {"big-endian length", "\0\0\0\0\0\0\0\x02{}"s, "more than"},
      {"leading space", SafetensorsBytes(" {}", ""), "not start with '{'"},
      {"byte order mark", SafetensorsBytes("\xEF\xBB\xBF{}", ""),
       "not start with '{'"},
      {"array", SafetensorsBytes("[]", ""), "not start with '{'"},
      {"data missing", SafetensorsBytes(header, ""),
       "the file is shorter than its header says: download it again"},
      {"data cut", SafetensorsBytes(header, std::string(21, 'x')),
       "22 bytes of data but the file has 21"},
      {"data too long", SafetensorsBytes(header, std::string(23, 'x')),
       "the file is longer than its header says"},
      {"data without tensors", SafetensorsBytes("{}", "x"), "longer"},
      {"zip", "PK\x03\x04 and so on", "a zip archive (.zip, .npz, or PyTorch"},
      {"empty zip", "PK\x05\x06"s + std::string(18, '\0'), "a zip archive"},
      {"torch legacy", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 \x6aP"s, "pickle"},
      {"pickle 4", "\x80\x04\x95\x10\0\0\0\0\0\0\0."s, "pickle"},
      {"npy", "\x93NUMPY\x01\0v\0{'descr'"s, "NumPy"},
      {"gguf", "GGUF\x03\0\0\0\x10\0\0\0"s, "GGUF"},
      {"hdf5", "\x89HDF\r\n\x1a\n\0\0"s, "HDF5"},
      {"gzip", "\x1f\x8b\x08\0\0\0\0\0\0\x03"s, "gzip"},
      {"tar", std::string(257, 'a') + "ustar\0 00"s, "tar archive"},
      {"lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:",
       "git lfs pull"},
      {"html", "<!doctype html><html>Not found</html>", "HTML"},
      {"index.json", "{\"metadata\": {}, \"weight_map\": {}}", "plain JSON"},
  };
}

TEST(ParseSafetensorsHeader, RefusesABadFrame) {
  for (const BadFile& bad : FilesWithABadFrame()) {
    SCOPED_TRACE(bad.what);
    ExpectRefused(bad.file, bad.fragment);
  }
}

std::vector<BadFile> FilesWithABadHeader() {
  const std::string tensor =
      R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  return {
      {"not JSON", SafetensorsBytes("{'a'}", ""), "line 1, byte 2"},
      {"cut JSON", SafetensorsBytes("{\"t\":", ""), "not valid JSON"},
      {"two documents", SafetensorsBytes("{}{}", ""), "byte 3"},
      {"zero byte", SafetensorsBytes("{}\0\0"s, ""), "zero byte"},
      {"not UTF-8", SafetensorsBytes("{\"\xFF\":" + tensor + "}", "1234"),
       "UTF-8"},
      {"tensor twice",
       SafetensorsBytes("{\"t\":" + tensor + ",\"t\":" + tensor + "}", "1234"),
       "\"t\" is given twice"},
      {"key twice",
       OneTensor(R"({"dtype":"U8","shape":[4],"shape":[4],)"
                 R"("data_offsets":[0,4]})",
                 "1234"),
       "\"shape\" is given twice"},
      {"metadata twice",
       SafetensorsBytes(R"({"__metadata__":{},"__metadata__":{}})", ""),
       "given twice"},
      {"metadata key twice",
       SafetensorsBytes(R"({"__metadata__":{"k":"1","k":"2"}})", ""),
       "\"k\" is given twice"},
      {"metadata number", SafetensorsBytes(R"({"__metadata__":{"k":1}})", ""),
       "the value of \"k\" must be a string"},
      {"metadata object", SafetensorsBytes(R"({"__metadata__":{"k":{}}})", ""),
       "must be a string"},
      {"metadata string", SafetensorsBytes(R"({"__metadata__":"x"})", ""),
       "must be an object of strings"},
      {"too deep", OneTensor(R"({"dtype":"U8","shape":[[4]]})", "1234"),
       "nested deeper than 3"},
      {"far too deep",
       SafetensorsBytes("{\"t\":" + std::string(1'000'000, '['), ""),
       "nested deeper than 3"},
      {"endless number", OneTensor(std::string(2'000'000, '1'), ""),
       "number overflow"},
      {"empty name", SafetensorsBytes("{\"\":" + tensor + "}", "1234"),
       "the name has 0 bytes"},
      {"long name",
       SafetensorsBytes("{\"" + std::string(1025, 'n') + "\":" + tensor + "}",
                        "1234"),
       "the name has 1025 bytes"},
      {"name with controls",
       SafetensorsBytes("{\"\\n\\u001b[31m\":" + tensor + "}", "123"),
       "shorter"},
  };
}

TEST(ParseSafetensorsHeader, RefusesABadHeader) {
  for (const BadFile& bad : FilesWithABadHeader()) {
    SCOPED_TRACE(bad.what);
    ExpectRefused(bad.file, bad.fragment);
  }
}

struct BadTensor {
  const char* body;
  const char* fragment;
};

TEST(ParseSafetensorsHeader, RefusesABadTensor) {
  // The data have 4 bytes.
  const BadTensor cases[] = {
      {"3", "exactly the keys"},
      {"[]", "exactly the keys"},
      {"null", "exactly the keys"},
      {R"({"dtype":"U8","shape":[4]})", "exactly the keys"},
      {R"({"dtype":"U8","shape":[4],"offsets":[0,4]})", "exactly the keys"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1})",
       "exactly the keys"},
      {R"({"dtype":"U9","shape":[4],"data_offsets":[0,4]})", "\"dtype\""},
      {R"({"dtype":"F4","shape":[8],"data_offsets":[0,4]})", "\"dtype\""},
      {R"({"dtype":8,"shape":[4],"data_offsets":[0,4]})", "\"dtype\""},
      {R"({"dtype":"U8","shape":4,"data_offsets":[0,4]})", "\"shape\" must"},
      {R"({"dtype":"U8","shape":{},"data_offsets":[0,4]})", "\"shape\" must"},
      {R"({"dtype":"U8","shape":[-4],"data_offsets":[0,4]})", "dimension"},
      {R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})", "dimension"},
      {R"({"dtype":"U8","shape":["4"],"data_offsets":[0,4]})", "dimension"},
      {R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,4]})",
       "dimension"},
      {R"({"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,4]})",
       "dimension"},
      {R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]})",
       "9 dimensions, more than 8"},
      // Wraps to 4 in 64 bits.
      {R"({"dtype":"U8","shape":[4294967296,4294967296,4],)"
       R"("data_offsets":[0,4]})",
       "overflows"},
      {R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})",
       "overflows"},
      // 0 in the end, but not on the way.
      {R"({"dtype":"U8","shape":[4611686018427387904,2,0],)"
       R"("data_offsets":[0,0]})",
       "overflows"},
      {R"({"dtype":"U8","shape":[5],"data_offsets":[0,4]})",
       "span 4 bytes but U8 of shape [5] needs 5"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", "needs 8"},
      {R"({"dtype":"F32","shape":[0],"data_offsets":[0,4]})", "needs 0"},
      {R"({"dtype":"F32","shape":[],"data_offsets":[0,0]})", "needs 4"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})", "end before it"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0]})", "two integers"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0,4,4]})", "two integers"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[-4,0]})", "two integers"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0,4.0]})", "two integers"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[1,5]})", "hole after 0"},
      {R"({"dtype":"U8","shape":[3],"data_offsets":[0,3]})", "longer"},
      {R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})", "shorter"},
      {R"({"dtype":"U8","shape":[4],)"
       R"("data_offsets":[18446744073709551612,18446744073709551615]})",
       "span 3 bytes"},
  };
  for (const BadTensor& bad : cases) {
    SCOPED_TRACE(bad.body);
    ExpectRefused(OneTensor(bad.body, "1234"), bad.fragment);
  }
}

std::string TwoTensors(const std::string& first, const std::string& second,
                       size_t data_bytes) {
  const std::string body = R"({"dtype":"U8","shape":[2],"data_offsets":)";
  return SafetensorsBytes(
      "{\"a\":" + body + first + "},\"b\":" + body + second + "}}",
      std::string(data_bytes, 'x'));
}

TEST(ParseSafetensorsHeader, RefusesHolesAndOverlaps) {
  EXPECT_TRUE(
      ParseSafetensorsHeader(AsSpan(TwoTensors("[0,2]", "[2,4]", 4))).ok());
  ExpectRefused(TwoTensors("[0,2]", "[3,5]", 5), "leaves a hole after 2");
  ExpectRefused(TwoTensors("[0,2]", "[1,3]", 3), "overlaps the data up to 2");
  ExpectRefused(TwoTensors("[0,2]", "[0,2]", 2), "overlaps the data up to 2");
  ExpectRefused(TwoTensors("[2,4]", "[4,6]", 6), "leaves a hole after 0");
}

TEST(ParseSafetensorsHeader, CapsOnTensorsAndValues) {
  const auto file_with = [](size_t tensors) {
    std::string header = "{\"__metadata__\":{}";
    for (size_t i = 0; i < tensors; ++i) {
      header += ",\"" + std::to_string(i) +
                R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    }
    return SafetensorsBytes(header + "}", "");
  };
  EXPECT_TRUE(ParseSafetensorsHeader(AsSpan(file_with(65'536))).ok());
  ExpectRefused(file_with(65'537), "at most 65536");

  std::string ones = "{\"t\":[1";
  for (int i = 0; i < 2'000'000; ++i) ones += ",1";
  ExpectRefused(SafetensorsBytes(ones + "]}", ""), "more than 2000000 values");
}

TEST(ParseSafetensorsHeader, NamesInMessagesArePrintable) {
  const std::string file = SafetensorsBytes("{\"\\n\\u001b[31m\":3}", "");
  ExpectRefused(file, "tensor \"\\n\\x1b[31m\"");
}

TEST(ParseSafetensorsHeader, EveryTruncationIsRefused) {
  const std::string file = GoodFile();
  ASSERT_TRUE(ParseSafetensorsHeader(AsSpan(file)).ok());
  for (size_t length = 0; length < file.size(); ++length) {
    EXPECT_FALSE(ParseSafetensorsHeader(AsSpan(file.substr(0, length))).ok())
        << length;
  }
  ExpectRefused(file + "x", "longer");
}

// What ParseSafetensorsHeader promises about anything that it accepts.
void ExpectSound(const SafetensorsHeader& header, uint64_t file_bytes) {
  uint64_t end = header.entries.empty() ? 0 : header.entries[0].begin;
  for (const SafetensorsEntry& entry : header.entries) {
    ASSERT_EQ(entry.begin, end);
    ASSERT_EQ(static_cast<int64_t>(entry.end - entry.begin),
              NumElements(entry.shape) * DTypeSize(entry.dtype));
    end = entry.end;
  }
  if (!header.entries.empty()) {
    ASSERT_EQ(end, file_bytes);
  }
}

TEST(ParseSafetensorsHeader, DamagedFilesAreRefusedOrSound) {
  const std::string good = GoodFile();
  const size_t header_end = 8 + GoodHeader().size();
  int refused = 0;
  const auto try_file = [&](const std::string& file) {
    absl::StatusOr<SafetensorsHeader> header =
        ParseSafetensorsHeader(AsSpan(file));
    if (header.ok()) {
      ExpectSound(*header, file.size());
    } else {
      ++refused;
    }
  };
  // Every single bit of the length and the header.
  for (size_t i = 0; i < header_end; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string file = good;
      file[i] = static_cast<char>(file[i] ^ (1 << bit));
      try_file(file);
    }
  }
  // Most flips break a rule; those inside names and metadata need not.
  EXPECT_GT(refused, static_cast<int>(header_end) * 4);
  // Several random bytes at a time.
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string file = good;
    for (int change = random() % 4; change >= 0; --change) {
      file[random() % file.size()] = static_cast<char>(random());
    }
    try_file(file);
  }
}

TEST(SafetensorsFile, ReadsTensors) {
  TempDir dir;
  const std::string path = dir.Write("model.safetensors", GoodFile());
  auto opened = SafetensorsFile::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const SafetensorsFile& file = **opened;
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(file.total_bytes(), GoodFile().size());
  EXPECT_THAT(file.names(), ElementsAre("a", "empty", "b", "scalar"));
  EXPECT_THAT(file.metadata(), ElementsAre(Pair("format", "pt")));
  const TensorView* a = file.Find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->dtype, DType::kF32);
  EXPECT_THAT(a->shape, ElementsAre(2, 2));
  float values[4];
  ASSERT_EQ(a->byte_size(), static_cast<int64_t>(sizeof(values)));
  std::memcpy(values, a->data, sizeof(values));
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4));
  ASSERT_NE(file.Find("empty"), nullptr);
  EXPECT_EQ(file.Find("empty")->byte_size(), 0);
  EXPECT_EQ(file.Find("A"), nullptr);
  EXPECT_EQ(file.Find(""), nullptr);
  EXPECT_EQ(file.Find("__metadata__"), nullptr);
  EXPECT_EQ(file.Find("a")->bytes()[3], 0x3f);
  file.DropPages();
  EXPECT_EQ(file.Find("a")->bytes()[3], 0x3f);
}

void ExpectNotOpened(const std::string& path, absl::StatusCode code,
                     const std::string& reason, const std::string& fragment) {
  const absl::Status status = SafetensorsFile::Open(path).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(GetErrorDetail(status).value_or(ErrorDetail{}).reason, reason);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  EXPECT_THAT(std::string(status.message()), HasSubstr(fragment));
}

TEST(SafetensorsFile, RefusesWhatIsNoRegularFile) {
  TempDir dir;
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  ExpectNotOpened(dir.path() + "/none", absl::StatusCode::kNotFound,
                  "WEIGHTS_MISSING", "no such file");
  ExpectNotOpened(dir.path(), kInvalid, "WEIGHTS_INVALID", "is a directory");
  ExpectNotOpened("/dev/zero", kInvalid, "WEIGHTS_INVALID", "not a regular");
  const std::string fifo = dir.path() + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ExpectNotOpened(fifo, kInvalid, "WEIGHTS_INVALID", "not a regular");
  ExpectNotOpened(dir.Write("empty", ""), kInvalid, "WEIGHTS_INVALID",
                  "the file is empty");
}

TEST(SafetensorsFile, NamesThePathOfABadFile) {
  TempDir dir;
  for (const BadFile& bad : FilesWithABadFrame()) {
    SCOPED_TRACE(bad.what);
    ExpectNotOpened(dir.Write("bad.safetensors", bad.file),
                    absl::StatusCode::kInvalidArgument, "WEIGHTS_INVALID",
                    bad.fragment);
  }
}

TEST(SafetensorsFile, TheDefaultModel) {
  const std::string path =
      std::string(LONGHAND_MODEL_DIR) + "/model.safetensors";
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "the default model is not installed";
  }
  auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const TensorView* words = (*file)->Find("embeddings.word_embeddings.weight");
  ASSERT_NE(words, nullptr);
  EXPECT_THAT(words->shape, ElementsAre(30522, 384));
  EXPECT_EQ(words->dtype, DType::kF32);
}

}  // namespace
}  // namespace longhand
