// Control flow for absl::Status and absl::StatusOr. Not installed: for the .cc
// files of this folder, which may not name core/.
#ifndef LONGHAND_CLIENT_STATUS_MACROS_H_
#define LONGHAND_CLIENT_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define LH_CLIENT_CONCAT_INNER(a, b) a##b
#define LH_CLIENT_CONCAT(a, b) LH_CLIENT_CONCAT_INNER(a, b)

// Returns from the enclosing function if `expr` is not OK.
#define LH_CLIENT_RETURN_IF_ERROR(expr)    \
  do {                                     \
    absl::Status lh_status = (expr);       \
    if (!lh_status.ok()) return lh_status; \
  } while (false)

// Assigns the value of the StatusOr `expr` to `lhs`, or returns its status.
#define LH_CLIENT_ASSIGN_OR_RETURN(lhs, expr)                                \
  LH_CLIENT_ASSIGN_OR_RETURN_INNER(LH_CLIENT_CONCAT(lh_statusor_, __LINE__), \
                                   lhs, expr)
#define LH_CLIENT_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                     \
  if (!tmp.ok()) return tmp.status();                    \
  lhs = *std::move(tmp)

#endif  // LONGHAND_CLIENT_STATUS_MACROS_H_
