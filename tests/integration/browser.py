"""A headless Chromium for the tests of pages, without a network.

Debian's chromium and chromium-driver; nothing is downloaded.
"""

import json
import os
import shutil
import struct
import unittest
import zlib

CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by the colour type of a PNG


def require_chromium():
    """For setUpModule: skips the module's tests where there is none."""
    missing = [program for program in ("chromium", "chromedriver")
               if shutil.which(program) is None]
    if missing:
        raise unittest.SkipTest(
            f"{' and '.join(missing)} not found: install the packages "
            "chromium and chromium-driver")


def start():
    """A driver; call quit() on it."""
    os.environ["SE_OFFLINE"] = "true"  # selenium shall look for nothing
    from selenium import webdriver  # pylint: disable=import-outside-toplevel
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu",
                     "--window-size=1400,1100", "--disable-dev-shm-usage",
                     # No name leads anywhere.
                     "--host-resolver-rules=MAP * ~NOTFOUND",
                     "--disable-background-networking", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs",
                           {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(
        options=options,
        service=webdriver.ChromeService(shutil.which("chromedriver")))


def console(driver):
    """What the page wrote, or the browser about it, since the last call."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requested_urls(driver):
    """The addresses that the page asked for since the last call."""
    urls = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
    return urls


def read_png(png):
    """(width, height, channels, rows of bytes) of an 8-bit PNG."""
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        raise AssertionError("this is no PNG")
    header, packed, at = None, b"", 8
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4:at + 8], png[at + 8:at + 8 + size]
        at += size + 12
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", data)
        elif kind == b"IDAT":
            packed += data
    width, height, depth, color, _, _, interlaced = header
    if depth != 8 or interlaced:
        raise AssertionError("not a plain PNG of 8 bits")
    channels = CHANNELS[color]
    data = zlib.decompress(packed)
    stride = width * channels
    rows, above = [], bytes(stride)
    for y in range(height):
        begin = y * (stride + 1)
        above = unfilter(data[begin], data[begin + 1:begin + 1 + stride], above,
                         channels)
        rows.append(above)
    return width, height, channels, rows


def unfilter(kind, row, above, step):
    """One row of a PNG without its filter (RFC 2083, section 6)."""
    row = bytearray(row)
    for i, value in enumerate(row):
        left = row[i - step] if i >= step else 0
        up = above[i]
        if kind == 1:
            value += left
        elif kind == 2:
            value += up
        elif kind == 3:
            value += (left + up) // 2
        elif kind == 4:
            corner = above[i - step] if i >= step else 0
            guess = left + up - corner
            value += min((left, up, corner), key=lambda x: abs(guess - x))
        row[i] = value & 0xFF
    return bytes(row)


def variance(png):
    """Of the brightness of a picture's pixels, 0 to 255 each."""
    _, _, channels, rows = read_png(png)
    values = [sum(row[i:i + min(channels, 3)]) / min(channels, 3)
              for row in rows[::4] for i in range(0, len(row), 4 * channels)]
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)
