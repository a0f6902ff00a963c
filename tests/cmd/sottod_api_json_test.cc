#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <vector>

#include "cmd/sottod/api_json.h"
#include "cmd/sottod/api_keys_json.h"
#include "cmd/sottod/api_request.h"
#include "cmd/sottod/health.h"
#include "cmd/sottod/text.h"
#include "gossip/base/codes.h"
#include "tests/cmd/api_schema.h"
#include "tests/cmd/fake_backend.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

boost::json::value Data(const std::string& body) { return boost::json::parse(body).at("data"); }

std::vector<std::string> Names(const std::string& members) {
  std::vector<std::string> names;
  const boost::json::value data = Data(members);
  for (const auto& member : data.as_array()) {
    names.emplace_back(member.at("name").as_string());
  }
  return names;
}

TEST(ApiJson, EveryAnswerFitsTheSchema) {
  const DaemonSnapshot s = MakeSnapshot();
  const Observer observer{"gw-1", s.unix_ms};
  EventRing ring;
  RingEvent event;
  event.event = "suspected";
  event.member = "gw-3";
  event.by = {"gw-2"};
  event.unix_ms = s.unix_ms;
  ring.Append(event);
  const std::vector<std::string> answers = {VersionJson(observer, "0.1.0"),
                                            StatusJson(s),
                                            MembersJson(s, false),
                                            MembersJson(s, true),
                                            MemberJson(s, "gw-3", {}).value(),
                                            EventsJson(observer, ring.Read(1, 10)),
                                            JoinJson(observer, 2),
                                            LeaveJson(observer, true),
                                            ForgetJson(observer, "gw-2"),
                                            TagsJson(observer, {{"k", "v"}}),
                                            CertsJson(s),
                                            ReloadJson(observer, {{"log.level"}, {}, {}}),
                                            ProblemJson(404, MemberJson(s, "gw-9", {}).status())};
  for (const std::string& answer : answers) EXPECT_EQ(CheckAnswer(answer), "") << answer;
}

TEST(ApiJson, EveryAnswerAboutKeysFitsTheSchema) {
  const Observer observer{"gw-1", MakeSnapshot().unix_ms};
  FakeKeys keys;
  const auto overview = [&] { return *keys.Keys(false, true); };
  std::vector<std::string> answers = {KeysJson(observer, overview()),
                                      KeyStatusJson(observer, overview())};
  const PrepareOutcome prepared = *keys.PrepareKey({"uid 0"});
  answers.push_back(KeyPrepareJson(observer, prepared));
  answers.push_back(KeysJson(observer, overview()));
  answers.push_back(KeyStatusJson(observer, overview()));
  SOTTO_ASSERT_OK(keys.ActivateKey({13, {}, std::nullopt, "uid 0"}));
  SOTTO_ASSERT_OK(keys.RemoveKey({12, {}, "uid 0"}));
  keys.Change([](KeyOverview& view) {
    view.store = CodedError(absl::StatusCode::kUnavailable, "DB_REFUSED", "nobody listens");
    view.blocked = CodedError(absl::StatusCode::kFailedPrecondition, "KEY_RING_FULL", "four");
    view.members[0].state = std::nullopt;
  });
  answers.push_back(KeysJson(observer, overview()));
  answers.push_back(KeyStatusJson(observer, overview()));
  answers.push_back(KeyStepJson("sotto.key_activate/1", observer, 13));
  answers.push_back(KeyStepJson("sotto.key_remove/1", observer, 12));
  answers.push_back(KeyHistoryJson(observer, *keys.KeyHistory(10)));
  answers.push_back(KeyVerifyJson(observer, *keys.VerifyKeys(true, "uid 0")));
  for (const std::string& answer : answers) EXPECT_EQ(CheckAnswer(answer), "") << answer;
}

TEST(ApiJson, KeyStatusSaysWhereARotationStands) {
  const Observer observer{"gw-1", MakeSnapshot().unix_ms};
  FakeKeys keys;
  const auto status = [&] { return Data(KeyStatusJson(observer, *keys.Keys(false, false))); };
  EXPECT_TRUE(status().at("next").is_null());
  EXPECT_TRUE(status().at("key_agreed").as_bool());
  SOTTO_ASSERT_OK(keys.PrepareKey({"uid 0"}));
  EXPECT_EQ(status().at("next").at("generation").as_int64(), 13);
  EXPECT_EQ(status().at("active").at("generation").as_int64(), 12);
  const boost::json::value rows = Data(KeysJson(observer, *keys.Keys(false, false)));
  EXPECT_EQ(rows.at(0).at("held_by").as_int64(), 0);
  EXPECT_EQ(rows.at(0).at("missing").as_array().size(), 4u);
  EXPECT_EQ(rows.at(1).at("seals_for").as_int64(), 4);
  SOTTO_ASSERT_OK(keys.ActivateKey({13, {}, std::nullopt, "uid 0"}));
  EXPECT_FALSE(status().at("key_agreed").as_bool()) << "nobody seals with it yet";
  // The dead need not.
  keys.Change([](KeyOverview& view) {
    for (size_t i = 0; i < 3; ++i) view.members[i].sealing = 13;
  });
  EXPECT_TRUE(status().at("key_agreed").as_bool());
  EXPECT_EQ(status().at("retiring").as_array().size(), 1u);
}

TEST(ApiJson, OrdersAboutKeysAreChecked) {
  const auto activate =
      ParseActivateBody(R"({"generation":13,"skip":["gw-3"],"retire_after_s":0})");
  SOTTO_ASSERT_OK(activate);
  EXPECT_EQ(activate->generation, 13u);
  EXPECT_THAT(activate->skip, ElementsAre("gw-3"));
  EXPECT_EQ(activate->retire_after_s, 0);
  EXPECT_EQ(ParseActivateBody(R"({"generation":13})")->retire_after_s, std::nullopt);
  for (const char* body :
       {"", "{}", "[]", R"({"generation":0})", R"({"generation":-1})", R"({"generation":"13"})",
        R"({"generation":1.5})", R"({"generation":13,"skip":"gw-3"})",
        R"({"generation":13,"retire_after_s":-1})", R"({"generation":13,"more":1})"}) {
    EXPECT_THAT(ParseActivateBody(body), HasCode("API_BAD_REQUEST")) << body;
  }
  EXPECT_THAT(ParseRemoveBody(R"({"generation":12,"lock_out":["gw-6"]})")->lock_out,
              ElementsAre("gw-6"));
  EXPECT_THAT(ParseRemoveBody(R"({"lock_out":[]})"), HasCode("API_BAD_REQUEST"));
  EXPECT_TRUE(*ParseVerifyBody(R"({"repair":true})"));
  EXPECT_FALSE(*ParseVerifyBody("{}"));
  EXPECT_THAT(ParseVerifyBody(R"({"repair":1})"), HasCode("API_BAD_REQUEST"));
}

TEST(ApiJson, TheCheckerFindsWhatIsWrong) {
  std::string members = MembersJson(MakeSnapshot(), false);
  members.replace(members.find("\"suspect\""), 9, "\"asleep!\"");
  EXPECT_THAT(CheckAnswer(members), HasSubstr("state"));
  EXPECT_THAT(CheckAnswer(R"({"schema":"sotto.join/1","observer":"a","as_of":"2026-11-21T14:02:11Z",
      "complete":true,"data":{"answered":1.5}})"),
              HasSubstr("integer"));
  EXPECT_THAT(CheckAnswer(R"({"schema":"sotto.join/1","observer":"a","as_of":"2026-11-21T14:02:11Z",
      "complete":true,"data":{"answered":1,"more":1}})"),
              HasSubstr("not in the schema"));
  EXPECT_THAT(CheckAnswer(R"({"schema":"sotto.join/1","observer":"a","complete":true,
      "data":{"answered":1}})"),
              HasSubstr("as_of"));
}

TEST(ApiJson, TheEventWordsOfTheSchemaAreThoseOfTheLibrary) {
  std::vector<std::string> words;
  const boost::json::value schema = ApiSchemaText();
  for (const auto& word :
       schema.at("$defs").at("event").at("properties").at("event").at("enum").as_array()) {
    words.emplace_back(word.as_string());
  }
  std::vector<std::string> kinds;
  for (int kind = 0; kind <= static_cast<int>(EventKind::kClockSuspect); ++kind) {
    kinds.emplace_back(ToString(static_cast<EventKind>(kind)));
  }
  kinds.insert(kinds.end(), {"user_event", "query"});  // what members say to each other
  EXPECT_THAT(words, testing::UnorderedElementsAreArray(kinds));
}

TEST(ApiJson, MembersWithoutAllLeavesOutTheForgottenAndTheLongGone) {
  const DaemonSnapshot s = MakeSnapshot();
  EXPECT_THAT(Names(MembersJson(s, false)), ElementsAre("gw-1", "gw-2", "gw-3"));
  EXPECT_THAT(Names(MembersJson(s, true)), ElementsAre("gw-1", "gw-2", "gw-3", "gw-4", "gw-5"));
}

TEST(ApiJson, AMemberIsTold) {
  const auto member = Data(MemberJson(MakeSnapshot(), "gw-3", {}).value());
  EXPECT_EQ(member.at("state"), "suspect");
  EXPECT_DOUBLE_EQ(member.at("since_s").as_double(), 1.2);
  EXPECT_DOUBLE_EQ(member.at("dies_in_s").as_double(), 3.8);
  EXPECT_TRUE(member.at("rtt_s").is_null());
  EXPECT_EQ(boost::json::serialize(member.at("suspected_by")), R"(["gw-2","gw-5"])");
  EXPECT_EQ(member.at("addresses").at(0), "127.0.0.1:7950");
  EXPECT_EQ(member.at("certificate_sha256").as_string().size(), 64u);
  const auto other = Data(MemberJson(MakeSnapshot(), "gw-2", {}).value());
  EXPECT_DOUBLE_EQ(other.at("rtt_s").as_double(), 0.0004);
  EXPECT_TRUE(other.at("dies_in_s").is_null());
  EXPECT_THAT(MemberJson(MakeSnapshot(), "gw-9", {}), HasCode("MEMBER_UNKNOWN"));
}

TEST(ApiJson, NumbersAreWrittenWithoutExponents) {
  EXPECT_THAT(MemberJson(MakeSnapshot(), "gw-2", {}).value(), HasSubstr("\"rtt_s\":0.0004,"));
  EXPECT_THAT(MemberJson(MakeSnapshot(), "gw-3", {}).value(), HasSubstr("\"dies_in_s\":3.8,"));
  EXPECT_THAT(StatusJson(MakeSnapshot()), HasSubstr("\"up_s\":3600,"));
}

TEST(ApiJson, StatusCountsAndNamesDrops) {
  const auto data = Data(StatusJson(MakeSnapshot()));
  EXPECT_EQ(data.at("health"), "healthy");
  EXPECT_EQ(data.at("members").at("alive"), 2);
  EXPECT_EQ(data.at("frames").at("dropped").at("bad_tag"), 4);
  EXPECT_EQ(data.at("frames").at("dropped").as_object().size(), kDropReasons - 1);
  EXPECT_EQ(data.at("sync").at("refused").at("CERT_UNTRUSTED"), 2);
  EXPECT_EQ(data.at("views").at("set_hash"), "9c31a0f2d4418877");
  EXPECT_EQ(data.at("key").at("id"), "9f3c-21aa");
  EXPECT_TRUE(data.at("store").at("code").is_null());
}

TEST(ApiJson, BytesThatAreNoTextBecomeText) {
  DaemonSnapshot s = MakeSnapshot();
  s.refusals = {{s.unix_ms, "TLS_FAILED", "10.0.0.9:1", "said \xff\xc3\x28 and \x01"}};
  EXPECT_EQ(CheckAnswer(StatusJson(s)), "");
  EXPECT_EQ(ValidUtf8("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
            "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(ValidUtf8("\xc0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");          // overlong
  EXPECT_EQ(ValidUtf8("\xed\xa0\x80").find('\xed'), std::string::npos);  // a surrogate
  EXPECT_EQ(ValidUtf8("\xe2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");          // cut short
}

TEST(ApiJson, AProblemBringsThePageOfItsCode) {
  const auto problem = boost::json::parse(
      ProblemJson(404, CodedError(absl::StatusCode::kNotFound, "MEMBER_UNKNOWN", "no gw-9")));
  EXPECT_EQ(problem.at("status"), 404);
  EXPECT_EQ(problem.at("code"), "MEMBER_UNKNOWN");
  EXPECT_EQ(problem.at("detail"), "no gw-9");
  ASSERT_NE(FindCode("MEMBER_UNKNOWN"), nullptr);
  EXPECT_EQ(problem.at("fix").as_string(), FindCode("MEMBER_UNKNOWN")->fix);
}

// ---- health -----------------------------------------------------------------------------------

struct HealthCase {
  std::string name;
  std::function<void(DaemonSnapshot&)> change;
  std::string code;
  std::string health;
};

class Health : public testing::TestWithParam<HealthCase> {};

TEST_P(Health, OneCauseGivesItsNoteAndLevel) {
  ASSERT_THAT(FindHealthNotes(MakeSnapshot()), testing::IsEmpty());
  DaemonSnapshot s = MakeSnapshot();
  GetParam().change(s);
  const std::vector<HealthNote> notes = FindHealthNotes(s);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].code, GetParam().code);
  EXPECT_FALSE(notes[0].text.empty());
  EXPECT_EQ(OverallHealth(notes), GetParam().health);
}

void CertificateEndsIn(DaemonSnapshot& s, int64_t seconds) {
  s.certificates[0].not_after_unix_s = s.unix_ms / 1000 + seconds;
}

const HealthCase kHealthCases[] = {
    {"Isolated", [](auto& s) { s = WithView(s, [](NodeView& v) { v.standing.isolated = true; }); },
     "ISOLATED", "critical"},
    {"Minority", [](auto& s) { s = WithView(s, [](NodeView& v) { v.standing.minority = true; }); },
     "MINORITY", "critical"},
    {"NameConflict",
     [](auto& s) { s = WithView(s, [](NodeView& v) { v.standing.name_conflict = true; }); },
     "NAME_CONFLICT", "critical"},
    {"NotAnnounced",
     [](auto& s) { s = WithView(s, [](NodeView& v) { v.standing.announced = false; }); },
     "NOT_ANNOUNCED", "warning"},
    {"Slow", [](auto& s) { s = WithView(s, [](NodeView& v) { v.standing.health_score = 4; }); },
     "SLOW_NODE", "warning"},
    {"Left", [](auto& s) { s = WithView(s, [](NodeView& v) { v.standing.left = true; }); }, "LEFT",
     "warning"},
    {"ViewsDiffer", [](auto& s) { s = WithView(s, [](NodeView& v) { v.views_agree = 1; }); },
     "VIEWS_DIFFER", "healthy"},
    {"SendsRefused",
     [](auto& s) { s = WithView(s, [](NodeView& v) { v.standing.sends_refused = 2; }); },
     "SENDS_REFUSED", "warning"},
    {"KeyTrouble", [](auto& s) { s.key_trouble_s_ago = 3; }, "KEY_TROUBLE", "critical"},
    {"DatabaseAway",
     [](auto& s) {
       s.store.ok = false;
       s.store.code = "DB_LOCKED";
     },
     "DB_LOCKED", "warning"},
    {"KeyRowGone",
     [](auto& s) {
       s.store.ok = false;
       s.store.code = "KEY_MISSING";
     },
     "KEY_MISSING", "critical"},
    {"CertificateSoon", [](auto& s) { CertificateEndsIn(s, 5 * 86'400 - 1); }, "CERT_EXPIRES_SOON",
     "warning"},
    {"CertificateOver", [](auto& s) { CertificateEndsIn(s, 0); }, "CERT_EXPIRED", "critical"},
    {"Refusals",
     [](auto& s) {
       s.refusals = {{s.unix_ms - 1000, "CERT_UNTRUSTED", "10.0.0.9:1", "no"}};
     },
     "PEERS_REFUSED", "healthy"},
    {"AnotherKeyAmongOthers",
     [](auto& s) {
       s.refusals = {{s.unix_ms - 1000, "KEY_MISMATCH", "10.0.0.9:1", "no"}};
     },
     "PEERS_REFUSED", "healthy"},
    {"AnotherKeyAndAlone",
     [](auto& s) {
       s = WithView(s, [](NodeView& v) {
         std::erase_if(v.members, [](const MemberInfo& member) { return !member.is_self; });
       });
       s.refusals = {{s.unix_ms - 1000, "KEY_MISMATCH", "10.0.0.9:1", "no"}};
     },
     "PEERS_REFUSED", "warning"},
    {"Lasting",
     [](auto& s) {
       s.lasting_notes = {{"BAD_ADVERTISE", NoteLevel::kYellow, "loopback"}};
     },
     "BAD_ADVERTISE", "warning"},
};

INSTANTIATE_TEST_SUITE_P(All, Health, testing::ValuesIn(kHealthCases),
                         [](const auto& test) { return test.param.name; });

TEST(HealthNotes, BordersAndOldFindings) {
  DaemonSnapshot s = MakeSnapshot();
  CertificateEndsIn(s, 5 * 86'400);
  s.refusals = {{s.unix_ms - 11 * 60 * 1000, "CERT_UNTRUSTED", "10.0.0.9:1", "no"}};
  s.key_trouble_s_ago = 61;
  // Peers that gave up, and lines that broke.
  s.refusals.push_back({s.unix_ms, "TLS_PEER_CLOSED", "10.0.0.9:1", "closed"});
  s.refusals.push_back({s.unix_ms, "STREAM_TIMEOUT", "10.0.0.9:1", "slow"});
  EXPECT_THAT(FindHealthNotes(s), testing::IsEmpty());
}

TEST(HealthNotes, TheWorstStandsFirst) {
  DaemonSnapshot s = MakeSnapshot();
  CertificateEndsIn(s, 86'400);
  s.key_trouble_s_ago = 1;
  s.refusals = {{s.unix_ms, "CERT_UNTRUSTED", "10.0.0.9:1", "no"}};
  std::vector<std::string> codes;
  for (const HealthNote& note : FindHealthNotes(s)) codes.push_back(note.code);
  EXPECT_THAT(codes, ElementsAre("KEY_TROUBLE", "CERT_EXPIRES_SOON", "PEERS_REFUSED"));
}

// ---- what comes in ------------------------------------------------------------------------------

TEST(ApiRequest, TargetsAreDecodedStrictly) {
  const auto target = ParseTarget("/v1/members/gw%2D1?all=1&x=a%20b&flag");
  SOTTO_ASSERT_OK(target);
  EXPECT_EQ(target->path, "/v1/members/gw-1");
  EXPECT_EQ(target->query.at("x"), "a b");
  EXPECT_EQ(target->query.at("flag"), "1");
  for (const char* bad : {"", "v1", "/a%2", "/a%zz", "/a%00", "/a?x=1&x=2", "/a?%0a=1"}) {
    EXPECT_THAT(ParseTarget(bad), HasCode("API_BAD_REQUEST")) << bad;
  }
  EXPECT_THAT(ParseTarget("/" + std::string(2048, 'a')), HasCode("API_BAD_REQUEST"));
}

TEST(ApiRequest, NumbersAreWholeAndBounded) {
  for (const char* bad : {"", "-1", "1.5", "0x1", "9999999999999999999", "1 "}) {
    const ApiTarget target{"/", {{"since", bad}}};
    EXPECT_THAT(target.Number("since"), HasCode("API_BAD_REQUEST")) << bad;
  }
  const ApiTarget target{"/", {{"since", "999999999999999999"}}};
  EXPECT_THAT(target.Number("since"), IsOkAndHolds(testing::Optional(999'999'999'999'999'999u)));
  EXPECT_THAT(target.Number("limit"), IsOkAndHolds(testing::Eq(std::nullopt)));
}

TEST(ApiRequest, BodiesThatMakeNoSenseAreRefused) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  for (const std::string& bad :
       {std::string("["), std::string("[]"), std::string("{\"contacts\":\"a:1\"}"),
        std::string("{\"contacts\":[]}"), std::string("{\"contacts\":[1]}"),
        std::string("{\"contact\":[\"a:1\"]}"),
        std::string("{\"contacts\":[\"a:1\"],\"timeout_s\":0}"),
        std::string("{\"contacts\":[\"a:1\"],\"timeout_s\":61}"),
        std::string("{\"contacts\":[\"a:1\"],\"timeout_s\":\"5\"}"),
        std::string("{\"contacts\":[\"a:1\"],\"timeout_s\":1e999}"),
        "{\"contacts\":[\"" + std::string(301, 'a') + "\"]}", "{\"contacts\":" + deep + "}"}) {
    EXPECT_THAT(ParseJoinBody(bad), HasCode("API_BAD_REQUEST")) << bad;
  }
  const auto good = ParseJoinBody("{\"contacts\":[\"a:1\"],\"timeout_s\":0.25}");
  SOTTO_ASSERT_OK(good);
  EXPECT_EQ(good->timeout, std::chrono::milliseconds(250));
  EXPECT_THAT(ParseNameBody("{}"), HasCode("API_BAD_REQUEST"));
  EXPECT_THAT(ParseNameBody("{\"name\":\"" + std::string(129, 'a') + "\"}"),
              HasCode("API_BAD_REQUEST"));
  EXPECT_THAT(ParseTagsBody("{\"set\":{\"k\":1}}"), HasCode("API_BAD_REQUEST"));
  EXPECT_THAT(ParseTagsBody("{\"set\":[\"k\"]}"), HasCode("API_BAD_REQUEST"));
  SOTTO_EXPECT_OK(ParseTimeoutBody(""));
  EXPECT_THAT(ParseEmptyBody("{\"x\":1}"), HasCode("API_BAD_REQUEST"));
}

}  // namespace
}  // namespace sotto
