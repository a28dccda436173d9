// Invariants. A failed check is a bug in Longhand, never a bad input: it prints
// the condition with its place and aborts. Untrusted input gets absl::Status.
#ifndef LONGHAND_CORE_BASE_CHECK_H_
#define LONGHAND_CORE_BASE_CHECK_H_

namespace longhand::internal {
[[noreturn]] void CheckFailed(const char* condition, const char* file,
                              int line);
}  // namespace longhand::internal

#define LH_CHECK(condition)                                                \
  (__builtin_expect(!(condition), 0)                                       \
       ? ::longhand::internal::CheckFailed(#condition, __FILE__, __LINE__) \
       : static_cast<void>(0))

#ifdef NDEBUG
#define LH_DCHECK(condition) static_cast<void>(sizeof(!(condition)))
#else
#define LH_DCHECK(condition) LH_CHECK(condition)
#endif

#endif  // LONGHAND_CORE_BASE_CHECK_H_
