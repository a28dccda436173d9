// FairQueue: things of many tenants that wait, each with a cost, taken so that
// tenants who want more than there is get cost in proportion to their weights
// (start-time fair queueing: Goyal, Vin, Cheng 1996); of one tenant first come
// first. Time per operation grows with the logarithm of the tenants that wait.
// Owned by one thread at a time.
#ifndef LONGHAND_SERVER_FAIR_QUEUE_H_
#define LONGHAND_SERVER_FAIR_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace longhand {

template <typename Item>
class FairQueue {
 public:
  struct Entry {
    Item item;
    double cost = 0;
  };

  // REQUIRES: weight > 0, cost >= 0.
  void Push(const std::string& tenant, double weight, Entry entry) {
    Flow& flow = flows_[tenant];
    if (flow.waiting.empty()) {
      // Who comes back has no claim on the time that it was away.
      flow.start = std::max(flow.start, now_);
      order_.insert({flow.start, tenant});
      weights_ += weight;
      flow.weight = weight;
    }
    flow.cost += entry.cost;
    cost_ += entry.cost;
    ++size_;
    flow.waiting.push_back(std::move(entry));
  }

  // The next; nullopt if none waits.
  std::optional<Entry> Pop() {
    if (order_.empty()) return std::nullopt;
    auto found = flows_.find(order_.begin()->second);
    Flow& flow = found->second;
    now_ = flow.start;
    order_.erase(order_.begin());
    Entry entry = std::move(flow.waiting.front());
    flow.waiting.pop_front();
    flow.start += entry.cost / flow.weight;
    if (!flow.waiting.empty()) order_.insert({flow.start, found->first});
    Forget(found, entry);
    return entry;
  }

  // Removes the tenant's entry for which `is_it` holds; false if there is none.
  template <typename Predicate>
  bool Erase(const std::string& tenant, Predicate is_it) {
    auto found = flows_.find(tenant);
    if (found == flows_.end()) return false;
    auto& waiting = found->second.waiting;
    auto at =
        std::find_if(waiting.begin(), waiting.end(),
                     [&](const Entry& entry) { return is_it(entry.item); });
    if (at == waiting.end()) return false;
    Remove(found, at);
    return true;
  }

  // The newest entry of the tenant whose waiting cost is largest for its
  // weight, unless `tenant` with `cost` more would have as much itself.
  std::optional<Entry> PopFromLargest(const std::string& tenant, double weight,
                                      double cost) {
    auto largest = flows_.end();
    double share = (CostOf(tenant) + cost) / weight;
    for (auto flow = flows_.begin(); flow != flows_.end(); ++flow) {
      if (flow->second.waiting.empty() || flow->first == tenant) continue;
      if (flow->second.cost / flow->second.weight <= share) continue;
      share = flow->second.cost / flow->second.weight;
      largest = flow;
    }
    if (largest == flows_.end()) return std::nullopt;
    return Remove(largest, std::prev(largest->second.waiting.end()));
  }

  size_t size() const { return size_; }
  double cost() const { return cost_; }
  // What waits of one tenant.
  double CostOf(const std::string& tenant) const {
    auto found = flows_.find(tenant);
    return found == flows_.end() ? 0 : found->second.cost;
  }
  // Of all tenants that wait, together.
  double weights() const { return weights_; }

 private:
  struct Flow {
    std::deque<Entry> waiting;
    double weight = 1;
    double cost = 0;   // of what waits
    double start = 0;  // virtual time at which its next entry starts
  };
  using Flows = std::map<std::string, Flow>;

  Entry Remove(typename Flows::iterator found,
               typename std::deque<Entry>::iterator at) {
    Flow& flow = found->second;
    Entry entry = std::move(*at);
    flow.waiting.erase(at);
    if (flow.waiting.empty()) order_.erase({flow.start, found->first});
    Forget(found, entry);
    return entry;
  }

  // Of an entry that is gone, and of a flow that has none left.
  void Forget(typename Flows::iterator found, const Entry& entry) {
    Flow& flow = found->second;
    flow.cost -= entry.cost;
    cost_ -= entry.cost;
    --size_;
    if (flow.waiting.empty()) {
      weights_ -= flow.weight;
      flow.cost = 0;
      // A flow that is ahead must not begin anew.
      if (flow.start <= now_) flows_.erase(found);
    }
    if (size_ > 0) return;
    // All start equal, and rounding errors end.
    flows_.clear();
    now_ = cost_ = weights_ = 0;
  }

  Flows flows_;
  // Of flows that wait.
  std::set<std::pair<double, std::string>> order_;
  double now_ = 0;  // virtual
  double cost_ = 0;
  double weights_ = 0;
  size_t size_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_FAIR_QUEUE_H_
