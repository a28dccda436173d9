// What one tenant may use. A plain value.
#ifndef LONGHAND_SERVER_TENANT_POLICY_H_
#define LONGHAND_SERVER_TENANT_POLICY_H_

namespace longhand {

struct TenantPolicy {
  // Share of the encoder beside other tenants that want it at the same time.
  double weight = 1;
  double tokens_per_second = 0;  // 0: no limit
  // What may be used at once after a rest. 0: two seconds' worth.
  double burst_tokens = 0;
  int max_documents = 0;  // in work at one time; 0: no limit
  int max_sessions = 0;   // 0: only the server's own limit

  bool limits_tokens() const { return tokens_per_second > 0; }
  double burst() const {
    return burst_tokens > 0 ? burst_tokens : 2 * tokens_per_second;
  }
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_TENANT_POLICY_H_
