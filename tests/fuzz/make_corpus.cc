// Writes the seeds of all fuzz targets, from test data of this repository and
// from what the program itself writes:
//   fuzz_make_corpus REPOSITORY FOLDER
// Seeds that a found bug left are not made here; they lie beside these, named
// after what was wrong.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/model/family.h"
#include "core/state/state_codec.h"
#include "core/store/record_codec.h"
#include "core/store/redis_reply.h"
#include "core/store/snapshot.h"
#include "longhand/v1/encoder_service.pb.h"
#include "longhand/v1/session_service.pb.h"
#include "tests/core/store/store_testing.h"
#include "tests/core/weights/safetensors_bytes.h"

namespace longhand::testing {
namespace {

class Corpus {
 public:
  Corpus(std::string repository, std::string folder)
      : repository_(std::move(repository)), folder_(std::move(folder)) {}

  // Of test data.
  std::string Path(const std::string& file) const {
    return absl::StrCat(repository_, "/tests/", file);
  }
  std::string Source(const std::string& file) const {
    return ReadAll(Path(file));
  }
  void Add(const std::string& target, const std::string& name,
           const std::string& bytes) const {
    std::filesystem::create_directories(absl::StrCat(folder_, "/", target));
    WriteAll(absl::StrCat(folder_, "/", target, "/", name), bytes);
  }

 private:
  const std::string repository_, folder_;
};

constexpr char kPooling[] = R"({"word_embedding_dimension": 8,
 "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
 "pooling_mode_max_tokens": false})";
constexpr char kModules[] =
    R"([{"idx": 0, "name": "0", "path": "",
  "type": "sentence_transformers.models.Transformer"},
 {"idx": 1, "name": "1", "path": "1_Pooling",
  "type": "sentence_transformers.models.Pooling"},
 {"idx": 2, "name": "2", "path": "2_Normalize",
  "type": "sentence_transformers.models.Normalize"}])";

void AddJson(const Corpus& corpus) {
  corpus.Add("json", "config",
             corpus.Source("testdata/parity/bert/config.json"));
  corpus.Add("json", "modules", kModules);
  corpus.Add("json", "numbers",
             R"({"n": -12, "a": [0, -0.0, 1e-7, 1.5E+10, 18446744073709551615,
  -9223372036854775808, 3.0], "b": {"c": null, "d": [true, false]}})");
  corpus.Add("json", "strings",
             R"({"n": "\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t", "": "é"})");
  corpus.Add("json", "nested", "[[[[[[[[{\"n\":[[[[[[]]]]]]}]]]]]]]]");
}

void AddSafetensors(const Corpus& corpus) {
  const std::string zero(1, '\0');
  const std::string floats =
      SafetensorsBuilder()
          .AddF32("encoder.layer.0.weight", {2, 3}, {1, 2, 3, 4, 5, 6})
          .AddF32("scalar", {}, {7})
          .AddF32("nothing", {0, 4}, {})
          .Build();
  corpus.Add("safetensors", "floats", zero + floats);
  const std::string halves = SafetensorsBuilder()
                                 .Add("h", "F16", {2}, "\x34\x12\x01\x03")
                                 .Add("b", "BF16", {1, 2}, "\x34\x12\x01\x03")
                                 .Add("d", "F64", {1}, std::string(8, '\x3f'))
                                 .Add("i", "I64", {1}, std::string(8, '\x01'))
                                 .Build();
  corpus.Add("safetensors", "types", zero + halves);
  corpus.Add(
      "safetensors", "header",
      absl::StrCat("\x09",
                   R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32",)"
                   R"("shape":[2],"data_offsets":[0,8]}}   )"));
  corpus.Add("safetensors", "empty", zero + SafetensorsBytes("{}", ""));
  corpus.Add("safetensors", "pickle", zero + "\x80\x02}q\x01(X\x01");
}

void AddModelFiles(const Corpus& corpus) {
  const std::vector<std::string> names = FamilyRegistry().Names();
  for (size_t i = 0; i < names.size(); ++i) {
    for (std::string folder : {names[i], absl::StrCat(names[i], "_compressed"),
                               absl::StrCat(names[i], "_factors")}) {
      std::replace(folder.begin(), folder.end(), '-', '_');
      const std::string file =
          absl::StrCat("testdata/parity/", folder, "/config.json");
      if (!std::filesystem::exists(corpus.Path(file))) continue;
      corpus.Add("model_config", folder,
                 std::string(1, char(i)) + corpus.Source(file));
    }
  }
  corpus.Add("sentence_config", "mean",
             absl::StrCat(kModules, std::string(1, '\0'), kPooling));
  corpus.Add("sentence_config", "named",
             absl::StrCat(kModules, std::string(1, '\0'),
                          R"({"pooling_mode": "max"})"));
}

// A small one of each kind of model.
void AddTokenizers(const Corpus& corpus) {
  const std::string target = "tokenizer_file";
  corpus.Add(target, "byte_bpe.json",
             corpus.Source("testdata/tokenizers/byte_bpe.json"));
  std::string vocabulary = R"("[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3)";
  int id = 4;
  for (const char* prefix : {"", "##"}) {
    for (char c = 'a'; c <= 'z'; ++c) {
      absl::StrAppend(&vocabulary, ",\"", prefix, std::string(1, c),
                      "\":", id++);
    }
  }
  for (const char* word : {"the", "quick", "##ing", ".", ",", "!", "4", "2"}) {
    absl::StrAppend(&vocabulary, ",\"", word, "\":", id++);
  }
  corpus.Add(target, "bert.json",
             absl::StrCat(
                 R"({"version":"1.0","truncation":null,"padding":null,
"added_tokens":[{"id":1,"content":"[UNK]","single_word":false,"lstrip":false,
"rstrip":false,"normalized":false,"special":true}],
"normalizer":{"type":"BertNormalizer","clean_text":true,
"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
"pre_tokenizer":{"type":"BertPreTokenizer"},
"post_processor":{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]},
"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
"model":{"type":"WordPiece","unk_token":"[UNK]",
"continuing_subword_prefix":"##","max_input_chars_per_word":100,
"vocab":{)",
                 vocabulary, "}}}"));
  corpus.Add(target, "unigram.json",
             R"({"version":"1.0","added_tokens":[],"normalizer":{"type":"NFKC"},
"pre_tokenizer":{"type":"Metaspace","replacement":"▁","add_prefix_space":true},
"post_processor":null,"decoder":null,"model":{"type":"Unigram","unk_id":0,
"vocab":[["<unk>",0.0],["▁",-1.0],["a",-2.0],["▁the",-1.5],["e",-2.5]]}})");
  corpus.Add(target, "word_level.json",
             R"({"version":"1.0","added_tokens":[],"normalizer":null,
"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
"model":{"type":"WordLevel","vocab":{"a":0,"[UNK]":1,"brown":2},
"unk_token":"[UNK]"}})");
}

void AddTexts(const Corpus& corpus) {
  // Cuts, longest piece, segment, longest run, tokenizer.
  const std::string bert("\x01\x00\x07\x10\x08\x01", 6);
  const std::string bpe("\x02\x00\x03\x20\x10\x00", 6);
  const std::string english =
      "The quick brown fox, jumping over 42 lazy dogs.\nAnd then\tsome more! ";
  const std::string marks =
      "na\xC3\xAFve e\xCC\x81 \xE4\xBD\xA0\xE5\xA5\xBD "
      "\xF0\x9F\x98\x80\xE2\x80\x8D"
      "\xF0\x9F\x91\xA9 \xC2\xA0\xE2\x80\x8B x\xE3\x80\x80y\r\n";
  for (const auto& [name, head] : {std::pair{"bert", bert}, {"bpe", bpe}}) {
    corpus.Add("text_stream", absl::StrCat(name, "_english"), head + english);
    corpus.Add("text_stream", absl::StrCat(name, "_marks"), head + marks);
    corpus.Add("text_stream", absl::StrCat(name, "_invalid"),
               head + english + "\xC3(\xED\xA0\x80");
    corpus.Add("text_stream", absl::StrCat(name, "_cut"),
               head + english + "\xF0\x9F");
    corpus.Add("text_stream", absl::StrCat(name, "_unbroken"),
               head + english + std::string(300, 'a') + " end");
  }
}

void AddStateCodecs(const Corpus& corpus) {
  const size_t codecs = StateCodecRegistry().Names().size();
  for (size_t i = 0; i < codecs; ++i) {
    // Codec, rank, parts, sides of each.
    std::string seed = {char(i), 2, 2, 7, 9, 1, 5};
    std::mt19937 random(uint32_t(i) + 1);
    std::vector<float> values(7 * 9 + 5);
    for (float& value : values) value = float(random() % 2000) / 100 - 10;
    seed += RawBytes(values);
    corpus.Add("state_codec", absl::StrCat("codec", i), seed + "packed bytes");
  }
}

void AddRecords(const Corpus& corpus) {
  constexpr size_t kHeader = 20, kChecksum = 8;
  const auto body = [](const std::string& record) {
    return record.substr(kHeader, record.size() - kHeader - kChecksum);
  };
  const std::string head_v1 = corpus.Source("golden/session_head_v1.bin");
  const std::string head_v2 = corpus.Source("golden/session_head_v2.bin");
  const std::string chunk = EncodeChunk(*MakeChunk(TestDecoder(), 1));
  corpus.Add("record", "head_v1", std::string(1, '\0') + head_v1);
  corpus.Add("record", "head_v2", std::string(1, '\0') + head_v2);
  corpus.Add("record", "head_full",
             std::string(1, '\0') + EncodeHead(FullHead()));
  corpus.Add("record", "chunk", "\x01" + chunk);
  corpus.Add("record", "chunk_v1",
             "\x01" + corpus.Source("golden/session_chunk_v1.bin"));
  corpus.Add("record", "chunk_body", "\x02" + body(chunk));
  corpus.Add("record", "head_body_v1", "\x03" + body(head_v1));
  corpus.Add("record", "head_body_v2", "\x04" + body(head_v2));
  corpus.Add("record", "head_body_v3", "\x05" + body(head_v2) + "newer");
}

void AddSnapshots(const Corpus& corpus) {
  std::string bytes;
  const SnapshotOptions options{.tenant = "tenant"};
  const auto append = [&bytes](std::string_view more) {
    bytes.append(more);
    return absl::OkStatus();
  };
  SnapshotWriter writer(options, append);
  SessionHead head = FullHead();
  const auto chunks = MakeChunks(TestDecoder(), 1, 0, 2);
  head.num_chunks = chunks.size();
  LH_CHECK(writer.WriteHead(head).ok());
  for (const auto& chunk : chunks) LH_CHECK(writer.WriteChunk(*chunk).ok());
  LH_CHECK(writer.Finish().ok());
  for (const char mode : {0, 1}) {
    const std::string prefix = {1, 0, 40, mode};
    corpus.Add("snapshot", absl::StrCat("two_chunks_", int(mode)),
               prefix + bytes);
    corpus.Add("snapshot", absl::StrCat("golden_", int(mode)),
               prefix + corpus.Source("golden/session_snapshot_v1.bin"));
  }
}

void AddRedisReplies(const Corpus& corpus) {
  const std::string prefix("\x01\x00\x05", 3);
  for (const auto& [name, bytes] :
       std::vector<std::pair<std::string, std::string>>{
           {"ok", "+OK\r\n+PONG\r\n"},
           {"error", "-NOSCRIPT No matching script\r\n:-12\r\n"},
           {"bulk", "$5\r\nhello\r\n$-1\r\n$0\r\n\r\n"},
           {"array", "*3\r\n$1\r\na\r\n:1\r\n*2\r\n*-1\r\n+x\r\n"},
           {"deep", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"},
           {"not_a_reply", "HTTP/1.1 400 Bad Request\r\n\r\n"},
           {"long", "$99999999999\r\n"}}) {
    corpus.Add("redis_reply", name, prefix + bytes);
  }
  corpus.Add("redis_reply", "command",
             prefix + FormatRedisCommand({"SET", "key", "", "a\r\nb"}));
}

void AddRequests(const Corpus& corpus) {
  v1::EncodeRequest encode;
  encode.set_text("some text");
  v1::EncodeOptions& options = *encode.mutable_options();
  options.set_mechanism("bsbr");
  options.set_visibility(v1::VISIBILITY_TWO_PASS);
  options.set_gate(0.5F);
  options.add_head_gates(0.25F);
  options.add_retrieval_layers(1);
  options.set_features("softmax");
  options.set_merge("lse");
  options.set_top_k(7);
  options.set_chunk_tokens(128);
  options.mutable_mechanism_options()->set_window_tokens(64);
  options.add_global_tokens(3);
  options.add_outputs(v1::OUTPUT_TOKEN_VECTORS);
  v1::ByteSpan* span = options.add_spans();
  span->set_begin(1);
  span->set_end(4);
  corpus.Add("convert", "encode",
             std::string(1, 0) + encode.SerializeAsString());
  encode.mutable_token_ids()->add_ids(101);
  corpus.Add("convert", "encode_ids",
             std::string(1, 0) + encode.SerializeAsString());
  v1::AppendSessionRequest append;
  append.set_session_id("AAAAAAAAAAAAAAAAAAAAAA");
  append.set_expected_offset(12);
  append.set_text("more text");
  append.set_if_state_digest(std::string(32, 'd'));
  append.set_payload_crc32c(7);
  corpus.Add("convert", "append", "\x01" + append.SerializeAsString());
  v1::EditSessionRequest edit;
  edit.set_begin(3);
  edit.set_end(9);
  edit.set_text("new");
  corpus.Add("convert", "edit", "\x02" + edit.SerializeAsString());
  v1::RewindSessionRequest rewind;
  rewind.set_offset(5);
  corpus.Add("convert", "rewind", "\x03" + rewind.SerializeAsString());
  v1::QuerySessionRequest query;
  query.add_questions()->set_text("what is it?");
  query.set_max_attended(3);
  query.set_document_weight(0.5F);
  corpus.Add("convert", "query", "\x04" + query.SerializeAsString());
  v1::CreateSessionRequest create;
  *create.mutable_options() = options;
  create.mutable_ttl()->set_seconds(60);
  create.mutable_ttl()->set_nanos(500);
  corpus.Add("convert", "create", "\x05" + create.SerializeAsString());
  corpus.Add("convert", "session_id",
             "\x06"
             "AAAAAAAAAAAAAAAAAAAAAA");
}

}  // namespace
}  // namespace longhand::testing

int main(int argc, char** argv) {
  using namespace longhand::testing;  // NOLINT
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s REPOSITORY FOLDER\n", argv[0]);
    return 2;
  }
  const Corpus corpus(argv[1], argv[2]);
  AddJson(corpus);
  AddSafetensors(corpus);
  AddModelFiles(corpus);
  AddTokenizers(corpus);
  AddTexts(corpus);
  AddStateCodecs(corpus);
  AddRecords(corpus);
  AddSnapshots(corpus);
  AddRedisReplies(corpus);
  AddRequests(corpus);
  return 0;
}
