"""The tree keeps to tools/layers.txt, and the checker sees what does not."""

import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import check_layers  # pylint: disable=wrong-import-position

LAYERS = check_layers.read_layers(ROOT / "tools" / "layers.txt")


class LayeringTest(unittest.TestCase):

    def test_the_tree_keeps_its_layers(self):
        self.assertEqual(check_layers.check(ROOT, LAYERS), [])

    def test_every_folder_of_the_layers_exists(self):
        for folder in LAYERS:
            self.assertTrue((ROOT / folder).is_dir(), folder)

    def test_allowed_lines_pass(self):
        for name, line in [
            ("core/engine/a.cc", '#include "core/model/model.h"'),
            ("core/engine/a.cc", '#include "core/engine/b.h"'),
            ("core/engine/a.cc", "#include <vector>"),
            ("core/engine/a.cc", '#include "absl/status/status.h"'),
            ("core/compute/a.cc", '#include "oneapi/dnnl/dnnl.hpp"'),
            ("core/compute/a.cc", "#include <omp.h>"),
            ("core/model/a.cc", "info.onednn_version = OneDnnVersion();"),
            ("core/engine/CMakeLists.txt", "  DEPS longhand::core_model"),
            ("server/a.cc", '#include "core/attention/mechanism_options.h"'),
            ("server/a.cc", "#include <grpcpp/grpcpp.h>"),
            ("client/cli/a.cc", '#include "client/b.h"'),
        ]:
            self.assertEqual(self.check_file(name, line), [], f"{name}: {line}")

    def test_violations_are_reported(self):
        for name, line, what in [
            ("core/base/a.cc", '#include "core/tensor/tensor.h"', "may not"),
            ("core/layers/a.h", '#include "core/model/model.h"', "may not"),
            ("core/layers/a.h", '# include  "core/model/model.h"', "may not"),
            ("core/text/a.cc", '#include "core/compute/matmul.h"', "may not"),
            ("core/model/families.def", '#include "core/engine/b.h"',
             "may not"),
            ("core/base/a.cc", '#include "server/server.h"', "may not"),
            ("core/base/CMakeLists.txt", " longhand::core_text",
             "may not link"),
            ("core/new/a.cc", "int x;", "has no line"),
            ("core/engine/a.cc", "#include <grpcpp/grpcpp.h>", "core may not"),
            ("core/engine/a.cc", "grpc::Status status;", "core may not"),
            ("core/engine/a.cc", "google::protobuf::Message* m;",
             "core may not"),
            ("core/engine/a.cc", '#include "prometheus/counter.h"',
             "core may not"),
            ("core/engine/a.cc", "// As gRPC does.", "core may not"),
            ("core/engine/a.cc", '#include "longhand/v1/encoder_service.pb.h"',
             "core may not"),
            ("core/engine/CMakeLists.txt", "DEPS longhand::proto",
             "core may not"),
            ("core/layers/a.cc", '#include "oneapi/dnnl/dnnl.hpp"',
             "only core/compute"),
            ("core/layers/a.cc", "dnnl::engine engine;", "only core/compute"),
            ("core/layers/a.cc", "dnnl_dim_t n;", "only core/compute"),
            ("core/layers/a.cc", "#include <omp.h>", "only core/compute"),
            ("core/layers/CMakeLists.txt", " DNNL::dnnl", "only core/compute"),
            ("server/a.cc", '#include "core/compute/matmul.h"', "may not"),
            ("server/a.cc", '#include "core/attention/attention.h"', "may not"),
            ("server/a.cc", '#include "client/encoder_client.h"', "may not"),
            ("client/a.cc", '#include "core/base/error.h"', "may not"),
            ("client/a.cc", '#include "client/cli/flags.h"', "may not"),
            ("client/cli/a.cc", '#include "server/tls.h"', "may not"),
        ]:
            problems = self.check_file(name, line)
            self.assertEqual(len(problems), 1, f"{name}: {line}: {problems}")
            self.assertTrue(problems[0].startswith(f"{name}:1: "), problems)
            self.assertIn(what, problems[0])

    def test_layers_that_contradict_themselves_are_refused(self):
        for text, what in [
            ("a: b\nb:\n", "no earlier line"),
            ("a: a/../b.h\n", "no earlier line"),
            ("a:\na:\n", "already"),
            ("a b\n", "expected"),
        ]:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "layers.txt"
                path.write_text(text)
                with self.assertRaisesRegex(check_layers.LayersError, what):
                    check_layers.read_layers(path)

    def check_file(self, name, content):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(content + "\n")
            return check_layers.check(pathlib.Path(folder), LAYERS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
