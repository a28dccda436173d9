"""The pages and pictures of `longhand explain`, as people meet them.

The page is opened from a file in a headless Chromium that cannot reach a
network; the picture is read by an XML parser. With the tiny model, and with a
document that tries to break out of its place.
"""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

import browser
import programs
import tiny_model

SVG = "{http://www.w3.org/2000/svg}"
LAYERS, HEADS = 2, 4  # of the tiny model
CHUNK_TOKENS = 24
CHUNK_FLAGS = ("--chunk-tokens", CHUNK_TOKENS)
HOSTILE = (
    "</script><script>document.title='owned'</script> <img src=x onerror=\""
    "document.title='owned'\"> & &lt; ]]> <!-- \" ' \u202e right to left "
    "\u0645\u0631\u062d\u0628\u0627 \u2028 \x01\x1b[2J {{x}} ${x} @DATA@ "
    "</title></style> " + "x" * 3000)
TEXT = "".join(f"part {i} tells of thing {i * i % 17} and of no other one. "
               for i in range(60)) + HOSTILE


def setUpModule():  # pylint: disable=invalid-name
    global server, folder, page, document  # pylint: disable=global-statement
    temporary = tempfile.TemporaryDirectory(prefix="longhand-test-")
    unittest.addModuleCleanup(temporary.cleanup)
    folder = pathlib.Path(temporary.name)
    model = tiny_model.make_tiny_model(folder / "tiny", programs.TESTDATA_DIR)
    server = programs.Server(model)
    server.__enter__()
    unittest.addModuleCleanup(server.__exit__, None, None, None)
    server.wait_until_ready()
    document = folder / "a & \"document\" <b>.txt"
    document.write_text(TEXT, encoding="utf-8")
    page = folder / "page.html"
    explain(document, "-o", page, *CHUNK_FLAGS)


def explain(*arguments):
    return programs.run_client(server, "explain", *arguments)


def weights_of(path, *flags):
    """The chunks with their weights, by the other command."""
    return json.loads(programs.run_client(
        server, "encode", path, "--outputs", "weights,head_weights",
        "--output", "json", *flags))


class PictureTest(unittest.TestCase):

    def read(self, *flags):
        return xml.etree.ElementTree.fromstring(
            explain(document, "-o", "-", "--format", "svg", *CHUNK_FLAGS,
                    *flags))

    def texts(self, root):
        return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]

    def cells(self, root):
        """{(row, column): colour} of all cells that have one."""
        cells = {}
        for path in root.iter(f"{SVG}path"):
            if path.get("fill") is None:
                continue
            for column, row, length in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z",
                                                  path.get("d")):
                for i in range(int(length)):
                    cells[int(row), int(column) + i] = path.get("fill")
        return cells

    def test_causal_half_is_blank(self):
        encoded = weights_of(document, *CHUNK_FLAGS)
        count = len(encoded["chunks"])
        cells = self.cells(self.read())
        self.assertEqual(set(cells), {(row, column) for row in range(count)
                                      for column in range(row)})
        self.assertGreater(len(set(cells.values())), 10)

    def test_more_weight_is_a_lighter_colour(self):
        encoded = weights_of(document, *CHUNK_FLAGS)
        cells = self.cells(self.read())
        row = len(encoded["chunks"]) - 1
        weights = encoded["chunks"][row]["retrieval_weights"]
        by_weight = sorted(range(row), key=weights.__getitem__)
        def green(column):  # which grows all along viridis
            return int(cells[row, column][3:5], 16)
        greens = [green(column) for column in by_weight]
        self.assertEqual(greens, sorted(greens))

    def test_bidirectional_and_single_heads(self):
        count = len(weights_of(document, *CHUNK_FLAGS)["chunks"])
        whole = self.cells(self.read("--visibility", "bidirectional"))
        self.assertEqual(len(whole), count * (count - 1))
        head = self.cells(self.read("--visibility", "bidirectional",
                                    "--layer", 1, "--head", 2))
        self.assertEqual(set(head), set(whole))
        self.assertNotEqual(head, whole)

    def test_labels_say_where_and_what(self):
        root = self.read()
        chunk = weights_of(document, *CHUNK_FLAGS)["chunks"][2]
        texts = self.texts(root)
        self.assertIn(f"2 · {chunk['begin_byte']}", texts)
        self.assertTrue(any(text.startswith("part 0 tells") for text in texts))
        self.assertIn("weight (square-root scale)", texts)
        self.assertIn(document.name, root.find(f"{SVG}title").text)
        self.assertIn("The largest weights", root.find(f"{SVG}desc").text)
        self.assertEqual(root.get("role"), "img")

    def test_nothing_of_the_text_is_markup(self):
        names = {node.tag for node in self.read().iter()}
        self.assertFalse({f"{SVG}script", "script", f"{SVG}img"} & names)

    def test_long_documents_are_grouped(self):
        path = folder / "long.txt"
        path.write_text("ab cd ef gh ij. " * 700)
        root = xml.etree.ElementTree.fromstring(explain(
            path, "-o", "-", "--format", "svg", "--chunk-tokens", 12))
        texts = " ".join(self.texts(root))
        self.assertRegex(texts, r"[78]\d\d chunks; each row and column stands "
                                "for 2 neighbouring ones|"
                                r"\d,\d+ chunks; each row and column stands "
                                "for 4 neighbouring ones")


class PageTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        browser.require_chromium()
        cls.driver = browser.start()
        cls.addClassCleanup(cls.driver.quit)

    def setUp(self):
        self.open(page)

    def open(self, path):
        browser.console(self.driver)
        browser.requested_urls(self.driver)
        self.driver.get(path.as_uri())
        self.cells = self.find("cells")
        self.rows = json.loads(
            self.driver.execute_script(
                "return document.getElementById('data').textContent"))["rows"]

    def tearDown(self):
        self.assertEqual(browser.console(self.driver), [])
        for url in browser.requested_urls(self.driver):
            self.assertRegex(url, "^(file:///|data:)")
        self.assertTrue(self.driver.title.startswith("What each chunk"))

    def find(self, name):
        return self.driver.find_element("id", name)

    def text(self, name):
        return self.driver.execute_script(
            "return document.getElementById(arguments[0]).textContent", name)

    def pixels(self):
        return self.driver.execute_script("return arguments[0].toDataURL()",
                                          self.cells)

    def choose(self, control, value):
        self.driver.execute_script(
            "const control = document.getElementById(arguments[0]);"
            "control.value = arguments[1];"
            "control.dispatchEvent(new Event('change'));", control, str(value))

    def point_at(self, row, column, click=False):
        from selenium.webdriver import ActionChains  # pylint: disable=all
        size = self.cells.size["width"] / len(self.rows)
        middle = self.cells.size["width"] / 2
        self.driver.execute_script(
            "arguments[0].scrollIntoView({block: 'center'})", self.cells)
        actions = ActionChains(self.driver).move_to_element_with_offset(
            self.cells, round((column + 0.5) * size - middle),
            round((row + 0.5) * size - middle))
        if click:
            actions.click()
        actions.perform()

    def chunk_text(self, chunk):
        return TEXT.encode()[chunk["begin_byte"]:chunk["end_byte"]].decode(
            errors="ignore")

    def test_pointing_at_a_cell_shows_both_texts(self):
        encoded = weights_of(document, *CHUNK_FLAGS)
        for row, column in ((30, 4), (41, 40), (12, 0)):
            with self.subTest(row=row, column=column):
                self.point_at(row, column)
                self.assertTrue(self.find("tip").is_displayed())
                for name, index in (("tip-row", row), ("tip-source", column)):
                    chunk = encoded["chunks"][index]
                    self.assertIn(f"chunk {index}, bytes "
                                  f"{chunk['begin_byte']:,} to "
                                  f"{chunk['end_byte']:,}", self.text(name))
                    self.assertEqual(self.text(f"{name}-text").split(),
                                     self.chunk_text(chunk).split())
                weight = encoded["chunks"][row]["retrieval_weights"][column]
                shown = float(re.search(r"retrieves ([0-9.e-]+) from",
                                        self.text("tip-weight")).group(1))
                self.assertAlmostEqual(shown / weight, 1, places=2)
        self.driver.find_element("tag name", "h1").click()
        self.assertFalse(self.find("tip").is_displayed())

    def test_what_is_not_seen_says_so(self):
        self.point_at(5, 20)
        self.assertIn("cannot see chunk 20", self.text("tip-weight"))
        self.point_at(7, 7)
        self.assertIn("itself", self.text("tip-weight"))

    def test_hostile_text_is_shown_as_it_is(self):
        shown = ""
        for row in range(len(self.rows) - 10, len(self.rows)):
            self.point_at(row, 0)
            shown += self.text("tip-row-text")
        for part in ("</script><script>document.title='owned'</script>",
                     "<img src=x onerror=", "\\u{202e}", "\\u{2028}",
                     "\\x01\\x1b[2J", "\u0645\u0631", "@DATA@"):
            self.assertIn("".join(part.split()), "".join(shown.split()))
        self.assertEqual(
            len(self.driver.find_elements("css selector", "img")), 0)
        # A word of 3000 characters does not widen the page.
        self.assertLessEqual(
            self.driver.execute_script(
                "return document.documentElement.scrollWidth"),
            self.driver.execute_script("return window.innerWidth"))

    def test_layer_and_head_change_the_colours(self):
        seen = {("mean", "mean"): self.pixels()}
        for layer, head in ((0, -1), (1, -1), (-1, 2), (1, 3)):
            self.choose("layer", layer)
            self.choose("head", head)
            self.assertNotIn(self.pixels(), seen.values())
            seen[layer, head] = self.pixels()
        self.choose("layer", -1)
        self.choose("head", -1)
        self.assertEqual(self.pixels(), seen["mean", "mean"])
        for scale in ("row", "even"):
            self.choose("scale", scale)
            self.assertNotIn(self.pixels(), seen.values())
            self.assertIn("row's" if scale == "row" else "even",
                          self.text("legend-name"))

    def test_weights_of_a_head_are_those_of_the_server(self):
        encoded = weights_of(document, *CHUNK_FLAGS)
        self.choose("layer", 1)
        self.choose("head", 3)
        row, column = 25, 9
        self.point_at(row, column)
        weights = encoded["head_weights"][row * LAYERS + 1]["weights"][3]
        shown = float(re.search(r"retrieves ([0-9.e-]+) from",
                                self.text("tip-weight")).group(1))
        self.assertAlmostEqual(shown / weights[column], 1, places=2)

    def test_keyboard_reaches_every_cell(self):
        self.driver.execute_script("arguments[0].focus()", self.cells)
        last = len(self.rows) - 1
        self.cells.send_keys("\ue012")  # left: into the first column
        self.assertIn(f"chunk {last}", self.text("tip-row"))
        self.cells.send_keys("\ue013" * 3 + "\ue014" * 2)  # up, right
        self.assertIn(f"chunk {last - 3},", self.text("tip-row"))
        self.assertIn("chunk 2,", self.text("tip-source"))
        self.assertIn(f"chunk {last - 3} retrieves", self.text("status"))
        self.cells.send_keys("\ue007")  # Enter
        self.assertEqual(self.text("row-title"), f"Chunk {last - 3}")
        self.cells.send_keys("\ue00c")  # Escape
        self.assertFalse(self.find("tip").is_displayed())

    def test_sources_of_the_selected_row(self):
        encoded = weights_of(document, *CHUNK_FLAGS)
        row = 20
        self.point_at(row, 3, click=True)
        self.assertEqual(self.text("row-title"), f"Chunk {row}")
        weights = encoded["chunks"][row]["retrieval_weights"]
        best = sorted(range(row), key=lambda i: -weights[i])[:3]
        items = self.driver.find_elements("css selector", "#sources button")
        self.assertEqual(len(items), 12)
        for item, index in zip(items, best):
            self.assertIn(f"chunk {index}", " ".join(item.text.split()))
        items[0].click()
        self.assertIn(f"chunk {best[0]},", self.text("tip-source"))

    def test_controls_and_map_have_names(self):
        for name in ("layer", "head", "scale", "cells", "axes"):
            self.assertTrue(self.find(name).accessible_name, name)
        self.assertIn("layer mean", self.cells.accessible_name)

    def test_screenshot_is_not_blank_in_light_and_dark(self):
        pictures = []
        for scheme in ("light", "dark"):
            self.driver.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [
                    {"name": "prefers-color-scheme", "value": scheme}]})
            pictures.append(self.driver.get_screenshot_as_png())
            self.assertGreater(browser.variance(pictures[-1]), 200, scheme)
            self.assertGreater(browser.variance(self.cells.screenshot_as_png),
                               200, scheme)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                    {"features": []})
        self.assertNotEqual(*pictures)

    def test_long_documents_are_grouped_and_say_so(self):
        path = folder / "long.txt"
        path.write_text("ab cd ef gh ij. " * 700)
        long_page = folder / "long.html"
        explain(path, "-o", long_page, "--chunk-tokens", 12)
        self.open(long_page)
        self.assertRegex(self.text("note"), "Each row and column stands for "
                                            r"\d neighbouring ones")
        self.assertLessEqual(len(self.rows), 400)
        self.point_at(100, 3)
        self.assertRegex(self.text("tip-weight"),
                         r"chunks \d+-\d+ retrieve [0-9.e-]+ from chunks")
        self.assertLess(long_page.stat().st_size, 40 << 20)

    def test_means_alone_have_no_choice(self):
        path = folder / "mean.html"
        explain(document, "-o", path, "--mean-only", *CHUNK_FLAGS)
        self.assertLess(path.stat().st_size, page.stat().st_size)
        self.open(path)
        self.assertEqual(self.find("layer").text.split(), ["mean"])
        self.point_at(9, 2)
        self.assertIn("retrieves", self.text("tip-weight"))

    def test_a_single_chunk_is_fine(self):
        path = folder / "short.txt"
        path.write_text("one")
        short = folder / "short.html"
        explain(path, "-o", short)
        self.open(short)
        self.assertEqual(self.text("sources"), "It retrieves nothing here.")


class PolicyTest(unittest.TestCase):

    def test_no_other_script_or_address_is_let_in(self):
        browser.require_chromium()
        driver = browser.start()
        self.addCleanup(driver.quit)
        driver.get(page.as_uri())
        driver.execute_script(
            "const script = document.createElement('script');"
            "script.textContent = 'window.owned = true';"
            "document.body.append(script);"
            "const image = document.createElement('img');"
            "image.src = 'http://127.0.0.1:1/x.png';"
            "document.body.append(image);")
        self.assertIsNone(driver.execute_script("return window.owned"))
        messages = programs.wait_until(
            lambda: browser.console(driver), "the browser's complaint")
        self.assertIn("Content Security Policy", " ".join(messages))


class FileTest(unittest.TestCase):

    def test_a_failed_run_leaves_the_old_file(self):
        path = folder / "old.html"
        path.write_text("old")
        empty = folder / "empty.txt"
        empty.write_text(" \n")
        result = subprocess.run(
            programs.client_command(server, "explain", empty, "-o", path),
            capture_output=True, env=programs.clean_environment(), check=False)
        self.assertEqual(result.returncode, 5)
        self.assertIn(b"[EMPTY_DOCUMENT]", result.stderr)
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(list(folder.glob("old.html.*")), [])

    def test_mechanisms_without_retrieval_are_refused(self):
        result = subprocess.run(
            programs.client_command(server, "explain", document, "-o", "-",
                                    "--mechanism", "independent"),
            capture_output=True, env=programs.clean_environment(), check=False)
        self.assertEqual(result.returncode, 5)
        self.assertIn(b"[OUTPUT_UNAVAILABLE]", result.stderr)
        self.assertEqual(result.stdout, b"")


if __name__ == "__main__":
    unittest.main(verbosity=2)
