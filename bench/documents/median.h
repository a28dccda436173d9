// Median: of repeated measurements, where a mean would follow the one that was
// disturbed. A pure function.
#ifndef LONGHAND_BENCH_DOCUMENTS_MEDIAN_H_
#define LONGHAND_BENCH_DOCUMENTS_MEDIAN_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace longhand::documents {

// REQUIRES: values is not empty.
inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace longhand::documents

#endif  // LONGHAND_BENCH_DOCUMENTS_MEDIAN_H_
