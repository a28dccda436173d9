#include "server/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace longhand {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Fields of /proc/self/stat from the third on; the second may hold spaces.
std::vector<std::string> ReadStat() {
  std::ifstream file("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(file)),
                   std::istreambuf_iterator<char>());
  size_t end = text.rfind(')');
  if (end == std::string::npos || end + 2 > text.size()) return {};
  return absl::StrSplit(text.substr(end + 2), ' ');
}

// By its number in proc(5), counted from 1.
double StatField(const std::vector<std::string>& fields, size_t number) {
  double value = 0;
  if (number - 3 < fields.size() &&
      absl::SimpleAtod(fields[number - 3], &value)) {
    return value;
  }
  return 0;
}

double BootTimeSeconds() {
  std::ifstream file("/proc/stat");
  std::string key;
  double value = 0;
  while (file >> key) {
    if (key == "btime" && file >> value) return value;
    file.ignore(1 << 20, '\n');
  }
  return 0;
}

double CountOpenFds() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int count = 0;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(directory);
  return count - 1;  // without the one that lists them
}

double MaxFds() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

MetricFamily Gauge(const char* name, const char* help, double value) {
  ClientMetric metric;
  metric.gauge.value = value;
  return {name, help, MetricType::Gauge, {metric}};
}

MetricFamily Counter(const char* name, const char* help, double value) {
  ClientMetric metric;
  metric.counter.value = value;
  return {name, help, MetricType::Counter, {metric}};
}

}  // namespace

ProcessMetrics::ProcessMetrics(std::function<int()> open_documents)
    : open_documents_(std::move(open_documents)),
      start_time_seconds_(BootTimeSeconds() +
                          StatField(ReadStat(), 22) / sysconf(_SC_CLK_TCK)) {}

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  const std::vector<std::string> stat = ReadStat();
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
  return {
      Gauge("longhand_open_documents", "Documents in work now.",
            open_documents_()),
      Counter("process_cpu_seconds_total", "CPU time used, user and system.",
              (StatField(stat, 14) + StatField(stat, 15)) / ticks),
      Gauge("process_resident_memory_bytes", "Resident memory.",
            StatField(stat, 24) * page),
      Gauge("process_virtual_memory_bytes", "Virtual memory.",
            StatField(stat, 23)),
      Gauge("process_open_fds", "Open file descriptors.", CountOpenFds()),
      Gauge("process_max_fds", "Limit of open file descriptors.", MaxFds()),
      Gauge("process_threads", "Threads.", StatField(stat, 20)),
      Gauge("process_start_time_seconds",
            "Start of the process, seconds since the Unix epoch.",
            start_time_seconds_),
  };
}

}  // namespace longhand
