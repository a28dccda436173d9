#include "server/access_rules.h"

#include <string>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/access_file.h"

namespace longhand::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kHash(64, 'a');
const std::string kOtherHash(64, 'b');

absl::StatusOr<AccessRules> Parse(const std::string& text,
                                  const TenantPolicy& defaults = {}) {
  return AccessRules::Parse(text, "tenants.json", defaults);
}

TEST(AccessRulesTest, AnEntrySaysWhoAndHowMuch) {
  const auto rules = Parse(
      TenantsJson(TokenEntry("search", "one",
                             R"(,"weight":2.5,"tokens_per_second":20000,)"
                             R"("burst_tokens":100000,"max_documents":16,)"
                             R"("max_sessions":100)") +
                  "," + TokenEntry("other", "two")));
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ(rules->num_tenants(), 2);
  const Caller* caller = rules->FindToken("one");
  ASSERT_NE(caller, nullptr);
  EXPECT_EQ(caller->tenant, TokenTenant("search"));
  EXPECT_EQ(caller->policy->weight, 2.5);
  EXPECT_EQ(caller->policy->tokens_per_second, 20000);
  EXPECT_EQ(caller->policy->burst_tokens, 100000);
  EXPECT_EQ(caller->policy->max_documents, 16);
  EXPECT_EQ(caller->policy->max_sessions, 100);
  EXPECT_EQ(rules->FindToken("three"), nullptr);
  EXPECT_EQ(rules->FindToken(""), nullptr);
  // The hash itself is no token.
  EXPECT_EQ(rules->FindToken(HashOfToken("one")), nullptr);
}

TEST(AccessRulesTest, WhatAnEntryLeavesOutIsTheDefault) {
  const auto rules =
      Parse(TenantsJson(TokenEntry("a", "one", R"(,"tokens_per_second":5)")),
            {.weight = 3,
             .tokens_per_second = 7,
             .burst_tokens = 70,
             .max_documents = 4,
             .max_sessions = 2});
  ASSERT_TRUE(rules.ok()) << rules.status();
  const TenantPolicy& policy = *rules->FindToken("one")->policy;
  EXPECT_EQ(policy.weight, 3);
  EXPECT_EQ(policy.tokens_per_second, 5);
  EXPECT_EQ(policy.burst_tokens, 70);
  EXPECT_EQ(policy.max_documents, 4);
  EXPECT_EQ(policy.max_sessions, 2);
}

TEST(AccessRulesTest, SeveralTokensOfOneTenant) {
  const auto rules = Parse(TenantsJson(
      absl::StrCat(R"({"name":"a","token_sha256":[")", HashOfToken("old"),
                   R"(",")", HashOfToken("new"), R"("]})")));
  ASSERT_TRUE(rules.ok()) << rules.status();
  ASSERT_NE(rules->FindToken("old"), nullptr);
  ASSERT_NE(rules->FindToken("new"), nullptr);
  EXPECT_EQ(rules->FindToken("old")->tenant, rules->FindToken("new")->tenant);
}

TEST(AccessRulesTest, ACertificateIsFoundByItsTenant) {
  const auto rules = Parse(TenantsJson(absl::StrCat(
      R"({"name":"a","weight":2,"certificate":")", kHash, R"("},)",
      TokenEntry("b", "one", R"(,"certificate":")" + kOtherHash + R"(")"))));
  ASSERT_TRUE(rules.ok()) << rules.status();
  ASSERT_NE(rules->FindCertificate(kHash), nullptr);
  EXPECT_EQ(rules->FindCertificate(kHash)->tenant, kHash);
  EXPECT_EQ(rules->FindCertificate(kHash)->policy->weight, 2);
  // A token beside a certificate is for the same tenant.
  EXPECT_EQ(rules->FindToken("one")->tenant, kOtherHash);
  EXPECT_EQ(rules->FindCertificate("default"), nullptr);
  EXPECT_EQ(rules->FindCertificate(TokenTenant("a")), nullptr);
}

TEST(AccessRulesTest, TenantsOfTokensAreOfTheirOwnKind) {
  EXPECT_EQ(TokenTenant("a").size(), 64U);
  EXPECT_NE(TokenTenant("a"), TokenTenant("b"));
  // As a certificate of that name would be called.
  for (const char* property :
       {"x509_subject_alternative_name", "x509_common_name", "x509_pem_cert"}) {
    Sha256 hash;
    hash.UpdateField(property);
    hash.UpdateField("a");
    EXPECT_NE(TokenTenant("a"), hash.HexDigest());
  }
}

TEST(AccessRulesTest, MistakesAreNamedAndTokensAreNot) {
  const std::string good = TokenEntry("good", "one");
  const std::string hashes = R"("token_sha256":[")" + kHash + R"("])";
  struct Case {
    std::string text;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"", "not valid JSON"},
      {"{\"tenants\":[{\"name\":\"s3cret\"", "not valid JSON"},
      {"\"s3cret", "not valid JSON"},
      {"[]", "must be {\"tenants\""},
      {"{}", "must be {\"tenants\""},
      {"{\"tenants\":{}}", "must be {\"tenants\""},
      {"{\"tenants\":[" + good + "],\"s3cret\":1}", "must be {\"tenants\""},
      {TenantsJson(""), "1 to 10000 tenants"},
      {TenantsJson("7"), "entry 1: must be an object"},
      {TenantsJson(good + ",{" + hashes + "}"), "entry 2: name must be"},
      {TenantsJson("{\"name\":\"\"," + hashes + "}"), "name must be"},
      {TenantsJson("{\"name\":\"a b\"," + hashes + "}"), "name must be"},
      {TenantsJson("{\"name\":\"" + std::string(65, 'a') + "\"," + hashes +
                   "}"),
       "name must be"},
      {TenantsJson("{\"name\":3," + hashes + "}"), "name must be"},
      {TenantsJson("{\"name\":\"a\"}"), "entry 1 (a): nobody can be"},
      {TenantsJson("{\"name\":\"a\",\"token_sha256\":[]}"), "nobody can be"},
      {TenantsJson("{\"name\":\"a\",\"token_sha256\":\"" + kHash + "\"}"),
       "must be a list"},
      {TenantsJson("{\"name\":\"a\",\"token_sha256\":[\"s3cret\"]}"),
       "not tokens"},
      {TenantsJson("{\"name\":\"a\",\"token_sha256\":[\"" +
                   std::string(64, 'A') + "\"]}"),
       "lower-case"},
      {TenantsJson("{\"name\":\"a\",\"certificate\":\"s3cret\"}"),
       "certificate must be"},
      {TenantsJson("{\"name\":\"a\",\"certificate\":3}"),
       "certificate must be"},
      {TenantsJson(TokenEntry("a", "one", ",\"wieght\":1")), "(wieght)"},
      {TenantsJson(TokenEntry("a", "one", ",\"s3cret\":1")), "does not know;"},
      {TenantsJson(TokenEntry("a", "one", ",\"weight\":0")), "weight"},
      {TenantsJson(TokenEntry("a", "one", ",\"weight\":1e9")), "weight"},
      {TenantsJson(TokenEntry("a", "one", ",\"weight\":null")), "weight"},
      {TenantsJson(TokenEntry("a", "one", ",\"weight\":\"s3cret\"")),
       "weight must be a number"},
      {TenantsJson(TokenEntry("a", "one", ",\"burst_tokens\":-1")),
       "burst_tokens"},
      {TenantsJson(TokenEntry("a", "one", ",\"max_documents\":1.5")),
       "max_documents"},
      {TenantsJson(TokenEntry("a", "one", ",\"max_sessions\":-1")),
       "max_sessions"},
      {TenantsJson(good + "," + TokenEntry("good", "two")),
       "entry 2 (good): the name is given twice"},
      {TenantsJson(good + "," + TokenEntry("b", "one")),
       "entry 2 (b): one of token_sha256 is given twice"},
      {TenantsJson("{\"name\":\"a\",\"certificate\":\"" + kHash +
                   "\"},{\"name\":\"b\",\"certificate\":\"" + kHash + "\"}"),
       "entry 2 (b): another entry has this certificate"},
  };
  for (const Case& c : cases) {
    const absl::Status status = Parse(c.text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.text;
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value()) << c.text;
    EXPECT_EQ(detail->reason, "CONFIG_INVALID") << c.text;
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr("tenants.json")) << c.text;
    EXPECT_THAT(message, HasSubstr(c.message)) << c.text;
    EXPECT_THAT(message, Not(HasSubstr("s3cret"))) << c.text;
  }
}

}  // namespace
}  // namespace longhand::testing
