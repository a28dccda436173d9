"""The repository's files are in form, and the checker sees what is not."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import check_tree  # pylint: disable=wrong-import-position

CLANG_FORMAT_MAJOR = "14"  # releases format differently


class TreeTest(unittest.TestCase):

    def test_the_tree_is_in_form(self):
        self.assertEqual(check_tree.check(ROOT), [])

    def test_good_files_pass(self):
        for name, content in [
            ("core/base/a.h", "// A contract.\n" + "\n" * 499),
            ("core/text/c.h", "/* A contract. */\n"),
            ("tests/long_test.cc", "int x;\n" * 900),
            ("core/text/hf_tokenizer/Cargo.lock",
             'source = "registry+https://github.com/rust-lang/crates'
             + '.io-index"\n'),
            ("docs/a.md", "core/work/x and ${HOME}/work/x\n"),
            ("models.bin", "\0 \n"),
            ("latin1.txt", b"\xe9 \n"),
        ]:
            self.assertEqual(self.check_file(name, content), [], name)

    def test_violations_are_reported(self):
        for name, content, line, what in [
            ("core/base/a.cc", "int x;\n" * 501, 501, "501 lines"),
            ("server/a.py", "\n" * 501, 501, "501 lines"),
            ("core/base/a.h", "#ifndef A\n", 1, "contract"),
            ("client/a.h", "", 1, "contract"),
            ("docs/a.md", "a\nb \n", 2, "white space"),
            ("docs/a.md", "a\t\n", 1, "white space"),
            ("tools/setup", "pip -i https://pypi" + ".org/simple\n", 1, "pypi"),
            ("a.json", '"https://registry' + '.npmjs.org/"\n', 1, "npmjs"),
            ("Cargo.toml", 'a = "https://crates' + '.io/a"\n', 1, "crates"),
            ("a.txt", "GOPROXY=https://proxy" + ".golang.org\n", 1, "golang"),
            ("a.txt", "https://repo1" + ".maven.org\n", 1, "maven"),
            ("a.txt", "http://deb" + ".debian.org\n", 1, "debian"),
            ("a.txt", "https://files" + ".pythonhosted.org\n", 1, "hosted"),
            ("a.txt", "see /root" + "/x\n", 1, "one machine"),
            ("a.txt", '"/work' + '/main"\n', 1, "one machine"),
            ("a.txt", "-B /tmp" + "/build-1\n", 1, "one machine"),
        ]:
            problems = self.check_file(name, content)
            self.assertEqual(len(problems), 1, f"{name}: {problems}")
            self.assertTrue(problems[0].startswith(f"{name}:{line}: "),
                            problems)
            self.assertIn(what, problems[0])

    def test_without_git_build_outputs_are_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name in ("build/a.txt", "build-x/a.txt", ".deps/a.txt",
                         "a.txt"):
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_text("a \n")
            self.assertEqual(len(check_tree.check(root)), 1)

    def test_the_code_is_formatted(self):
        program = shutil.which("clang-format")
        if program is None:
            self.skipTest("clang-format is not installed")
        version = subprocess.run([program, "--version"], capture_output=True,
                                 text=True, check=True).stdout
        if f"version {CLANG_FORMAT_MAJOR}." not in version:
            self.skipTest(f"needs clang-format {CLANG_FORMAT_MAJOR}, this is "
                          + version.strip())
        names = check_tree.git_files(ROOT) or check_tree.walked_files(ROOT)
        code = [str(ROOT / name) for name in names
                if name.endswith((".cc", ".h")) and (ROOT / name).is_file()]
        result = subprocess.run([program, "--dry-run", "-Werror", *code],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr[:4000])

    def check_file(self, name, content):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes)
                             else content.encode())
            return check_tree.check(pathlib.Path(folder))


if __name__ == "__main__":
    unittest.main(verbosity=2)
