"""Screenshots: windows, menus, lists, text and thumbnails, flat and sharp as programs draw them."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw

from sources import Random, Sources
from words import font, paragraph, sentence, title, words, write

DESKTOP = (1920, 1080)
PHONES = ((1080, 2340), (1170, 2532), (1290, 2796), (1440, 3120))
LIGHT = {"paper": "#ffffff", "bar": "#ececf0", "line": "#d4d4dc", "ink": "#202124", "dim": "#6b6f76"}
DARK = {"paper": "#1e1f24", "bar": "#2b2d33", "line": "#3c3f46", "ink": "#e6e7ea", "dim": "#9a9da5"}
Unit = Callable[[float], int]

ACCENTS = ("#2f6fde", "#1f8a5b", "#b3473b", "#8a4fc4", "#c77b12")


def screenshot(random: Random, sources: Sources) -> tuple[str, bytes]:
    """Of a desktop (60 %) or a phone, as PNG."""
    screen = Screen(random, sources)
    image = screen.desktop() if random.random() < 0.6 else screen.phone()
    out = io.BytesIO()
    image.save(out, "PNG")
    return ".png", out.getvalue()


class Screen:
    def __init__(self, random: Random, sources: Sources) -> None:
        self.random, self.sources = random, sources
        self.colors = DARK if random.random() < 0.4 else LIGHT
        self.accent = str(random.choice(ACCENTS))

    def start(self, size: tuple[int, int], background: str | None = None) -> None:
        self.image = Image.new("RGB", size, background or self.colors["paper"])
        self.draw = ImageDraw.Draw(self.image)

    def text(self, corner: tuple[float, float], words: str, size: int, color: str = "ink", bold: bool = False) -> None:
        self.draw.text(corner, words, self.colors[color], font("DejaVuSans-Bold" if bold else "DejaVuSans", size))

    def picture(self, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        wide, high = right - left, bottom - top
        pixels = self.sources.cut(self.random, wide / high)
        self.image.paste(Image.fromarray(cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_AREA)), (left, top))

    def desktop(self) -> Image.Image:
        width, height = DESKTOP
        self.start(DESKTOP)
        if self.random.random() < 0.4:
            self.picture((0, 0, width, height))
        else:
            ends = self.random.integers(20, 160, (2, 2, 3)).astype(np.uint8)
            self.image.paste(Image.fromarray(cv2.resize(ends, DESKTOP, interpolation=cv2.INTER_LINEAR)))
        for _ in range(int(self.random.integers(1, 4))):
            wide, high = int(self.random.integers(700, 1500)), int(self.random.integers(450, 900))
            left, top = (int(self.random.integers(space)) for space in (width - wide, height - 48 - high))
            self.window((left, top, left + wide, top + high))
        self.draw.rectangle((0, height - 44, width, height), self.colors["bar"])
        for place in range(int(self.random.integers(5, 12))):
            corner = (16 + place * 48, height - 36)
            self.draw.rounded_rectangle((*corner, corner[0] + 28, corner[1] + 28), 6, str(self.random.choice(ACCENTS)))
        clock = f"{self.random.integers(24):02}:{self.random.integers(60):02}"
        self.text((width - 80, height - 32), clock, 15)
        return self.image

    def window(self, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        self.draw.rounded_rectangle((left - 1, top - 1, right + 1, bottom + 1), 9, self.colors["line"])
        self.draw.rounded_rectangle(box, 8, self.colors["paper"])
        self.draw.rectangle((left, top + 8, right, top + 62), self.colors["bar"])
        self.draw.rounded_rectangle((left, top, right, top + 30), 8, self.colors["bar"])
        self.text((left + 14, top + 8), title(self.random, 4), 14, bold=True)
        for place, color in enumerate(("#d9534f", "#e0a030", "#4fa760")):
            x = right - 24 - place * 22
            self.draw.ellipse((x, top + 9, x + 12, top + 21), color)
        x = left + 14
        for menu in ("File", "Edit", "View", "Insert", "Tools", "Help"):
            self.text((x, top + 38), menu, 13)
            x += 58
        side = left + 190
        self.draw.rectangle((left, top + 62, side, bottom - 8), self.colors["bar"])
        chosen = int(self.random.integers(12))
        for place, y in enumerate(range(top + 76, bottom - 30, 28)):
            if place == chosen:
                self.draw.rectangle((left, y - 5, side, y + 22), self.accent)
            self.text((left + 20, y), title(self.random, 2)[:22], 13, "ink" if place == chosen else "dim")
        inside = (side + 18, top + 78, right - 18, bottom - 14)
        kinds = (self.document, self.thumbnails, self.listing, self.program)
        kinds[self.random.integers(len(kinds))](inside)

    def document(self, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        serif = self.random.random() < 0.4
        self.text((left, top), title(self.random, 5), 22, bold=True)
        y: float = top + 42
        face = font("DejaVuSerif" if serif else "DejaVuSans", int(self.random.integers(13, 17)))
        while y + 30 < bottom:
            text = paragraph(self.random, int(self.random.integers(2, 6)))
            y = write(self.draw, text, face, (left, y), right - left, bottom, self.colors["ink"]) + 10

    def thumbnails(self, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        for y in range(top, bottom - 150, 160):
            for x in range(left, right - 170, 182):
                self.picture((x, y, x + 170, y + 120))
                self.text((x, y + 126), f"IMG_{self.random.integers(1000, 9999)}.jpg", 12, "dim")

    def listing(self, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        for row, y in enumerate(range(top, bottom - 24, 26)):
            self.draw.line((left, y + 22, right, y + 22), self.colors["line"])
            self.text((left + 4, y), title(self.random, 3)[:30], 13, bold=row == 0)
            self.text((left + (right - left) // 2, y), f"{self.random.integers(1, 99999) / 100:.2f}", 13, "dim")
            year, month, day = self.random.integers((2010, 1, 1), (2026, 13, 29))
            self.text((right - 110, y), f"{year}-{month:02}-{day:02}", 13, "dim")

    def program(self, box: tuple[int, int, int, int]) -> None:
        left, top, _, bottom = box
        face = font("DejaVuSansMono", 14)
        depth = 0
        for number, y in enumerate(range(top, bottom - 20, 20)):
            self.draw.text((left, y), f"{number + 1:3}", self.colors["dim"], face)
            depth = int(np.clip(depth + self.random.integers(-1, 2), 0, 4))
            name, *others = words(self.random, 3)
            statements = (f"let {name} = {others[0]}({others[1]});", f"if {name}.{others[0]} {{", "}")
            line = statements[self.random.integers(len(statements))]
            ink = str(self.random.choice([self.colors["ink"], self.accent, self.colors["dim"]]))
            self.draw.text((left + 46 + depth * 32, y), line, ink, face)

    def phone(self) -> Image.Image:
        width, height = PHONES[self.random.integers(len(PHONES))]
        self.start((width, height))
        unit = width / 360

        def at(value: float) -> int:
            return round(value * unit)

        self.text((at(22), at(10)), f"{self.random.integers(24):02}:{self.random.integers(60):02}", at(13), bold=True)
        self.draw.rounded_rectangle((width - at(44), at(13), width - at(20), at(24)), at(3), self.colors["ink"])
        self.draw.rectangle((0, at(36), width, at(88)), self.accent)
        self.draw.text((at(18), at(50)), title(self.random, 2), "#ffffff", font("DejaVuSans-Bold", at(18)))
        bottom = height - at(60)
        (self.feed if self.random.random() < 0.5 else self.messages)(at, at(100), width, bottom)
        self.draw.rectangle((0, bottom, width, height), self.colors["bar"])
        for place in range(5):
            x = round(width * (place + 0.5) / 5)
            circle = (x - at(10), bottom + at(12), x + at(10), bottom + at(32))
            self.draw.ellipse(circle, outline=self.colors["dim"], width=at(2))
        return self.image

    def feed(self, at: Unit, y: int, width: int, bottom: int) -> None:
        face = font("DejaVuSans", at(13))
        while y + at(90) < bottom:
            self.picture((at(14), y, at(46), y + at(32)))
            self.text((at(56), y), title(self.random, 2), at(13), bold=True)
            self.text((at(56), y + at(17)), f"{self.random.integers(2, 59)} min", at(11), "dim")
            corner, text = (at(14), y + at(42)), sentence(self.random)
            y = round(write(self.draw, text, face, corner, width - at(28), bottom, self.colors["ink"]))
            high = min(at(int(self.random.integers(140, 260))), bottom - y - at(8))
            if high > at(60):
                self.picture((at(14), y + at(6), width - at(14), y + at(6) + high))
                y += high
            y += at(24)

    def messages(self, at: Unit, y: int, width: int, bottom: int) -> None:
        face = font("DejaVuSans", at(13))
        while y + at(80) < bottom:
            own = self.random.random() < 0.5
            left = at(80) if own else at(14)
            fill = self.accent if own else self.colors["bar"]
            ink = "#ffffff" if own else self.colors["ink"]
            text = paragraph(self.random, int(self.random.integers(1, 3)))
            probe = write(ImageDraw.Draw(Image.new("L", (1, 1))), text, face, (0, 0), width - at(118), 1e9, "white")
            high = min(round(probe) + at(18), bottom - y - at(8))
            self.draw.rounded_rectangle((left, y, left + width - at(94), y + high), at(12), fill)
            write(self.draw, text, face, (left + at(12), y + at(8)), width - at(118), y + high, ink)
            y += high + at(12)
