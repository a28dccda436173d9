#include <string>

#include "client/cli/flag_groups.h"

namespace longhand::client {
namespace {

constexpr char kExplainFooter[] = R"(
The map has a row for the chunk that retrieves and a column for what it
retrieves from; the colour of a cell is the weight. With causal visibility the
half that a chunk cannot see stays blank.

  html  one page that needs no other file and no network: pointing at a cell, or
        moving to it with the arrow keys, shows both texts, their bytes and the
        weight; layer and head are chosen on the page; the best sources of the
        selected row are listed. It holds the beginning of every chunk's text:
        whoever gets the page can read the document.
  svg   the map of one layer and head, or of a mean, as a picture.

A document of more than 400 chunks (fewer for models with many heads) is drawn
with 2, 4, 8, .. neighbouring chunks to a row and column, and the picture says
so: a cell is then the mean over the row's chunks of what they took from all
chunks of the column. The weights of all heads are sent for every pair of
chunks; --mean-only spares that for long documents.

Examples:
  longhand explain report.txt -o report.html
  longhand explain book.txt --visibility two_pass --top-k 8 -o book.html
  longhand explain book.txt --layer 3 --head 0 -o layer3.svg
  longhand explain - --mean-only -o - < long.txt > long.html

)";

void AddPicture(CLI::App* command, ExplainFlags* flags) {
  constexpr char kGroup[] = "Output";
  command
      ->add_option("-o,--out", flags->out,
                   "Write to FILE, which appears when complete; - is\n"
                   "standard output (default: standard output, unless it is\n"
                   "a terminal)")
      ->type_name("FILE")
      ->group(kGroup);
  command
      ->add_option("--format", flags->format,
                   "html or svg (default: svg if FILE ends with .svg, else\n"
                   "html)")
      ->check(CLI::IsMember({"html", "svg"}))
      ->type_name("FORMAT")
      ->group(kGroup);
  command
      ->add_option("--layer", flags->layer,
                   "The layer that svg draws, and that the page shows first:\n"
                   "a number from 0, or mean")
      ->check(Readable(ParsePlane, "a number or mean"))
      ->capture_default_str()
      ->type_name("N|mean")
      ->group(kGroup);
  command->add_option("--head", flags->head, "The same for the head")
      ->check(Readable(ParsePlane, "a number or mean"))
      ->capture_default_str()
      ->type_name("N|mean")
      ->group(kGroup);
  command
      ->add_flag("--mean-only", flags->mean_only,
                 "Only the mean of all layers and heads")
      ->group(kGroup);
  AddProgress(command, &flags->progress, kGroup);
}

}  // namespace

void AddExplain(CLI::App* app, Flags* flags) {
  CLI::App* command = app->add_subcommand(
      "explain",
      "Draw what each chunk of a document retrieves from the others.\n"
      "FILE holds UTF-8 text; - is standard input.");
  ExplainFlags* explain = &flags->explain;
  command
      ->add_option("FILE", explain->file,
                   "The document, or - for standard input")
      ->type_name("");
  command
      ->add_option("--model", explain->options.model,
                   "The model, if the server names several")
      ->type_name("NAME");
  AddPicture(command, explain);
  AddRetrievalOptions(command, &explain->options);
  AddChunkOptions(command, &explain->options);
  AddConnection(command, &flags->connection);
  command->footer(std::string(kExplainFooter) + kExitCodes);
}

}  // namespace longhand::client
