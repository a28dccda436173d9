// The files by which the driver and the programs that it compares exchange
// documents and vectors. Pure functions apart from the file system.
#ifndef LONGHAND_BENCH_PEERS_TOKEN_DOCUMENTS_H_
#define LONGHAND_BENCH_PEERS_TOKEN_DOCUMENTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace longhand::peers {

// The token ids of each document, without special tokens.
using TokenDocuments = std::vector<std::vector<int32_t>>;

// Little-endian and without padding:
//   int64 count, int64 ends[count], int32 ids[ends[count - 1]]
// Document i is ids [ends[i - 1], ends[i]). INVALID_ARGUMENT
// (DOCUMENTS_INVALID) for anything else and for a document without tokens.
absl::StatusOr<TokenDocuments> ParseDocuments(std::string_view bytes);
std::string FormatDocuments(const TokenDocuments& documents);

// ReadFile's errors and ParseDocuments's, with the path.
absl::StatusOr<TokenDocuments> ReadDocuments(const std::string& path);

// INTERNAL (FILE_UNWRITABLE).
absl::Status WriteDocuments(const std::string& path,
                            const TokenDocuments& documents);
// [vectors, size] fp32, little-endian, nothing else.
absl::Status WriteVectors(const std::string& path,
                          absl::Span<const float> vectors);

}  // namespace longhand::peers

#endif  // LONGHAND_BENCH_PEERS_TOKEN_DOCUMENTS_H_
