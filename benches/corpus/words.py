"""Text that means nothing, and the fonts it is set in."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageDraw, ImageFont

from sources import Random

WORDS = """
the of and to in a is for on with as by at from that this it are was be or an not have which their its were has but
archive album annual autumn balance basement beacon border branch bridge budget camera canal carbon catalog century
chapel chapter charter circle climate coast collection column committee concert copper corner council country courtyard
crossing culture curtain deadline delivery department detail district dinner drawing early eastern edition evening
exhibit exposure factory family farewell festival figure folder forest garden glass granite guest harbor harvest height
history holiday horizon hotel import index interview invoice island journey kitchen ladder landscape lantern letter
library lighthouse listing machine market meadow meeting memory message mineral modern monday morning mountain museum
narrow negative newspaper northern notebook number object office opening orchard order outline paper parcel parking
pattern payment people picture planet platform portrait postcard printer process project quarter railway receipt record
region remark report request result review river schedule school season section series settlement shadow signal silver
sketch southern square station storage street studio summer supply surface survey table theater thursday ticket timber
total tower transfer travel valley version village volume volunteer water weather wednesday western window winter yellow
""".split()

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansCondensed",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerifCondensed",
)


@lru_cache(maxsize=200)
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(f"{name}.ttf", size)
    except OSError:
        raise SystemExit(f"{name}.ttf: no such font (Debian: fonts-dejavu-core, fonts-dejavu-extra)") from None


def words(random: Random, count: int) -> list[str]:
    return [str(word) for word in random.choice(WORDS, count)]


def title(random: Random, count: int) -> str:
    return " ".join(words(random, count)).capitalize()


def sentence(random: Random) -> str:
    text = words(random, int(random.integers(5, 16)))
    if random.random() < 0.15:
        text[int(random.integers(len(text)))] = str(random.integers(10, 2030))
    if len(text) > 8 and random.random() < 0.5:
        text[len(text) // 2] += ","
    return " ".join(text).capitalize() + random.choice([".", ".", ".", "?"])


def paragraph(random: Random, sentences: int) -> str:
    return " ".join(sentence(random) for _ in range(sentences))


def lines(text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """`text` broken so that no line is wider than `width` pixels."""
    broken, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and face.getlength(longer) > width:
            broken.append(line)
            line = word
        else:
            line = longer
    return [*broken, line] if line else broken


def write(
    draw: ImageDraw.ImageDraw,
    text: str,
    face: ImageFont.FreeTypeFont,
    corner: tuple[float, float],
    width: float,
    bottom: float,
    ink: str,
    spacing: float = 1.35,
) -> float:
    """Sets `text` below `corner` as far as there is room above `bottom`; where the next line would be."""
    left, top = corner
    for line in lines(text, face, width):
        if top + face.size * spacing > bottom:
            return bottom
        draw.text((left, top), line, ink, face)
        top += face.size * spacing
    return top
