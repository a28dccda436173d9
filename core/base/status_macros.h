// Control flow for absl::Status and absl::StatusOr.
#ifndef LONGHAND_CORE_BASE_STATUS_MACROS_H_
#define LONGHAND_CORE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define LH_CONCAT_INNER(a, b) a##b
#define LH_CONCAT(a, b) LH_CONCAT_INNER(a, b)

// Returns from the enclosing function if `expr` is not OK.
#define LH_RETURN_IF_ERROR(expr)           \
  do {                                     \
    absl::Status lh_status = (expr);       \
    if (!lh_status.ok()) return lh_status; \
  } while (false)

// Declares `lhs` from the value of the StatusOr `expr`, or returns its status.
#define LH_ASSIGN_OR_RETURN(lhs, expr) \
  LH_ASSIGN_OR_RETURN_INNER(LH_CONCAT(lh_statusor_, __LINE__), lhs, expr)
#define LH_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) return tmp.status();             \
  lhs = *std::move(tmp)

#endif  // LONGHAND_CORE_BASE_STATUS_MACROS_H_
