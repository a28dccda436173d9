// The files of client/cli/explain_page as strings. In the HTML, @NAME@ stands
// for what explain_page.cc fills in.
#ifndef LONGHAND_CLIENT_CLI_EXPLAIN_PAGE_PARTS_H_
#define LONGHAND_CLIENT_CLI_EXPLAIN_PAGE_PARTS_H_

namespace longhand::client {

extern const char kExplainHtml[];
extern const char kExplainCss[];
extern const char kExplainJs[];

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_EXPLAIN_PAGE_PARTS_H_
