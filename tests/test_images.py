"""Images of every mode and format as `sphreg.predict` reads them, against plain computations and files written here."""

import colorsys
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from sphreg.errors import UserError
from sphreg.predict.images import FORMATS, LARGEST, shape, square

SIDE = 16
LUMA = np.array([0.299, 0.587, 0.114])
NUMBERS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), np.uint8)
ALPHA = NUMBERS[..., 3] / 255


def seen(image: Path | Image.Image) -> np.ndarray:
    """What the network sees, where nothing is resized."""
    return square(image if isinstance(image, Image.Image) else str(image), SIDE).pixels.astype(float)


def on_white(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return alpha * grey + (1 - alpha) * 255


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(path: Path, pixels: np.ndarray, bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> Path:
    """A PNG of pixels (h, w) or (h, w, c), written by hand: Pillow does not write all that it reads."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    if bits < 8:
        text = "".join(f"{number:0{bits}b}" for row in rows for number in row)
        packed = [int(text[place : place + 8], 2) for place in range(0, len(text), 8)]
        lines = np.array(packed, np.uint8).reshape(height, -1)
    else:
        lines = rows.astype(f">u{bits // 8}")
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", content), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def tiff(path: Path, pixels: bytes, width: int, height: int, bits: int, white: int, **more: int) -> Path:
    """A grey TIFF, little endian, without compression."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: white, 273: 0, 277: 1, 278: height, 279: len(pixels)}
    tags |= {int(name.removeprefix("tag")): value for name, value in more.items()}
    tags[273] = 8 + 2 + 12 * len(tags) + 4  # where the pixels begin
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, tags[tag], 0) for tag in sorted(tags))
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + pixels)
    return path


def refused(path: Path, reason: str) -> None:
    for reader in shape, lambda image: square(image, SIDE):
        try:
            reader(str(path))
        except UserError as error:
            assert str(error) == f"{path}: it is no image that can be used ({reason})."
            return
    pytest.fail("it was read")


class TestModes:
    """Pillow's, as an image that a user has in memory."""

    @pytest.mark.parametrize("mode", ["RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"])
    def test_colours(self, mode: str) -> None:
        bands = len(Image.new(mode, (1, 1)).getbands())
        numbers = NUMBERS[..., :bands].copy()
        red, green, blue = (numbers[..., band].astype(float) for band in range(3))
        match mode:
            case "RGBA":
                expected = on_white(numbers[..., :3] @ LUMA, ALPHA)
            case "RGBa":  # what is stored is the product with alpha
                numbers[..., :3] = np.rint(numbers[..., :3] * ALPHA[..., None])
                expected = numbers[..., :3] @ LUMA + (1 - ALPHA) * 255
            case "CMYK":
                expected = (255 - numbers[..., :3].astype(float)) @ LUMA * (1 - ALPHA)
            case "YCbCr":
                expected = red
            case "HSV":
                expected = np.vectorize(lambda *hsv: np.dot(colorsys.hsv_to_rgb(*hsv), LUMA))(
                    red / 255, green / 255, blue / 255
                )
                expected *= 255
            case _:
                expected = numbers[..., :3] @ LUMA
        assert np.abs(seen(Image.frombytes(mode, (SIDE, SIDE), numbers.tobytes())) - expected).max() <= 3

    def test_lab(self) -> None:
        lightness = NUMBERS[..., 0] / 2.55
        share = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
        expected = 255 * np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)
        numbers = np.dstack([NUMBERS[..., 0], np.zeros((SIDE, SIDE, 2), np.uint8)])  # without colour
        assert np.abs(seen(Image.frombytes("LAB", (SIDE, SIDE), numbers.tobytes())) - expected).max() <= 2

    @pytest.mark.parametrize("mode", ["LA", "La", "PA"])
    def test_two_bands(self, mode: str) -> None:
        grey = NUMBERS[..., 0].astype(float)
        if mode == "La":
            grey = np.rint(grey * ALPHA)
        image = Image.frombytes(mode, (SIDE, SIDE), np.dstack([grey.astype(np.uint8), NUMBERS[..., 3]]).tobytes())
        expected = grey + (1 - ALPHA) * 255 if mode == "La" else on_white(grey, ALPHA)
        if mode == "PA":
            image.putpalette(NUMBERS.tobytes()[:768])
            colours = NUMBERS.reshape(-1)[:768].reshape(256, 3)
            expected = on_white(colours[NUMBERS[..., 0]] @ LUMA, ALPHA)
        assert np.abs(seen(image) - expected).max() <= 2

    @pytest.mark.parametrize(("mode", "order"), [("I;16", "<"), ("I;16L", "<"), ("I;16B", ">"), ("I;16N", "=")])
    def test_16_bits(self, mode: str, order: str) -> None:
        deep = np.random.default_rng(1).integers(0, 65536, (SIDE, SIDE)).astype(f"{order}u2")
        image = Image.frombytes(mode, (SIDE, SIDE), deep.tobytes())
        assert np.abs(seen(image) - deep / 65535 * 255).max() <= 0.51
        image.info["transparency"] = int(deep[3, 5])
        assert seen(image)[3, 5] == 255

    def test_1_bit_and_palettes(self) -> None:
        bits = NUMBERS[..., 0] > 127
        np.testing.assert_array_equal(seen(Image.fromarray(bits)), bits * 255)
        image = Image.fromarray(NUMBERS[..., 0]).convert("P")
        colours = np.random.default_rng(2).integers(0, 256, (256, 4), np.uint8)
        image.putpalette(colours.tobytes(), "RGBA")
        expected = on_white(colours[:, :3] @ LUMA, colours[:, 3] / 255)[NUMBERS[..., 0]]
        assert np.abs(seen(image) - expected).max() <= 2

    @pytest.mark.parametrize("mode", ["I", "F"])
    def test_numbers_of_32_bits_have_no_white(self, mode: str) -> None:
        with pytest.raises(UserError, match=rf"its pixels are numbers of 32 bits, mode {mode}, allowed: 8 or 16 bits"):
            seen(Image.new(mode, (SIDE, SIDE)))


class TestFiles:
    """What files say of their pixels."""

    @pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
    @pytest.mark.parametrize("transparent", [True, False])
    def test_a_grey_png_with_one_transparent_grey(self, tmp_path: Path, bits: int, transparent: bool) -> None:
        white = 2**bits - 1
        pixels = np.random.default_rng(0).integers(0, white, (SIDE, SIDE), endpoint=True)
        grey = int(pixels[4, 7])
        path = png(tmp_path / "a.png", pixels, bits, 0, *[(b"tRNS", struct.pack(">H", grey))] * transparent)
        expected = np.where((pixels == grey) & transparent, 255, pixels * 255 / white)
        assert np.abs(seen(path) - expected).max() <= 0.51
        with Image.open(path) as image:
            for _ in range(2):
                assert np.abs(seen(image) - expected).max() <= 0.51

    def test_a_png_with_one_transparent_colour(self, tmp_path: Path) -> None:
        pixels = NUMBERS[..., :3]
        path = png(tmp_path / "a.png", pixels, 8, 2, (b"tRNS", struct.pack(">3H", *pixels[4, 7])))
        expected = pixels @ LUMA
        expected[(pixels == pixels[4, 7]).all(axis=-1)] = 255
        assert np.abs(seen(path) - expected).max() <= 0.51

    def test_a_png_with_a_transparent_palette(self, tmp_path: Path) -> None:
        colours = NUMBERS[0, :, :3]
        pixels, alphas = NUMBERS[..., 0] % 16, NUMBERS[1, :16, 3]
        path = png(tmp_path / "a.png", pixels, 4, 3, (b"PLTE", colours.tobytes()), (b"tRNS", alphas.tobytes()))
        expected = on_white(colours @ LUMA, alphas / 255)[pixels]
        assert np.abs(seen(path) - expected).max() <= 1

    @pytest.mark.parametrize("channels", [2, 3, 4])
    def test_a_deep_png_in_colour(self, tmp_path: Path, channels: int) -> None:
        pixels = np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE, channels))
        path = png(tmp_path / "a.png", pixels, 16, {2: 4, 3: 2, 4: 6}[channels])
        grey = pixels[..., 0] / 257 if channels == 2 else pixels[..., :3] @ LUMA / 257
        expected = grey if channels == 3 else on_white(grey, pixels[..., -1] / 65535)
        assert np.abs(seen(path) - expected).max() <= 2  # Pillow keeps the upper 8 bits

    @pytest.mark.parametrize("colour", [(700, 1, 2), (7, 1, 2)])
    def test_a_deep_png_with_one_transparent_colour(self, tmp_path: Path, colour: tuple[int, int, int]) -> None:
        pixels = np.zeros((SIDE, SIDE, 3), int)
        path = png(tmp_path / "a.png", pixels, 16, 2, (b"tRNS", struct.pack(">3H", *colour)))
        refused(path, "16 bits a colour, one of them transparent, allowed: an alpha channel, or 8 bits")

    @pytest.mark.parametrize("most", [1, 200, 255, 256, 1023, 4095, 32767, 65535])
    @pytest.mark.parametrize("plain", [True, False])
    def test_a_pgm_of_any_depth(self, tmp_path: Path, most: int, plain: bool) -> None:
        pixels = np.random.default_rng(0).integers(0, most, (SIDE, SIDE), endpoint=True)
        header = f"P{2 if plain else 5}\n# a comment\n{SIDE} {SIDE}\n{most}\n".encode()
        numbers = " ".join(map(str, pixels.flat)).encode() if plain else pixels.astype(">u2" if most > 255 else "u1")
        (tmp_path / "a.pgm").write_bytes(header + bytes(numbers))
        assert np.abs(seen(tmp_path / "a.pgm") - pixels / most * 255).max() <= 0.51

    @pytest.mark.parametrize(
        ("bits", "white"), [(1, 1), (1, 0), (2, 1), (2, 0), (4, 1), (4, 0), (8, 1), (8, 0), (12, 1), (16, 1), (16, 0)]
    )
    def test_a_grey_tiff(self, tmp_path: Path, bits: int, white: int) -> None:
        """Whether 0 is black, or white."""
        pixels = np.random.default_rng(0).integers(0, 2**bits, (SIDE, SIDE))
        text = "".join(f"{number:0{bits}b}" for number in pixels.flat)
        content = int(text, 2).to_bytes(len(text) // 8, "big") if bits < 16 else pixels.astype("<u2").tobytes()
        expected = pixels * 255 / (2**bits - 1)
        path = tiff(tmp_path / "a.tif", content, SIDE, SIDE, bits, white)
        assert np.abs(seen(path) - (expected if white else 255 - expected)).max() <= 0.51

    def test_signed_numbers_are_refused(self, tmp_path: Path) -> None:
        path = tiff(tmp_path / "a.tif", bytes(SIDE * SIDE), SIDE, SIDE, 8, 1, tag339=2)
        refused(path, "its pixels are signed numbers, allowed: unsigned ones")

    @pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG", "WEBP", "MPO"])
    def test_the_first_of_several_pictures_counts(self, tmp_path: Path, form: str) -> None:
        first, *others = (Image.new("RGB", (SIDE, SIDE), (grey,) * 3) for grey in (10, 120, 250))
        first.save(tmp_path / "a", form, save_all=True, append_images=others)
        with Image.open(tmp_path / "a") as image:
            assert image.n_frames == 3
        assert np.abs(seen(tmp_path / "a") - 10).max() <= 2

    @pytest.mark.parametrize("form", FORMATS)
    def test_one_picture_in_every_format(self, tmp_path: Path, form: str) -> None:
        grey = np.add.outer(np.arange(0, 128, 8), np.arange(0, 96, 6)).astype(np.uint8)
        Image.fromarray(grey).convert("RGB").save(tmp_path / "a", form)
        assert np.abs(seen(tmp_path / "a") - grey).max() <= 12  # some of them are not exact

    def test_gamma_and_profiles_are_left_alone(self, tmp_path: Path) -> None:
        pixels = NUMBERS[..., 0]
        path = png(tmp_path / "a.png", pixels, 8, 0, (b"gAMA", struct.pack(">I", 22222)))
        np.testing.assert_array_equal(seen(path), pixels)


class TestOrientation:
    @pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
    @pytest.mark.parametrize("orientation", range(10))
    def test_an_image_is_turned_upright(self, tmp_path: Path, form: str, orientation: int) -> None:
        stored = np.array([[10, 100, 100], [200, 60, 60]], np.uint8).repeat(4, axis=0).repeat(4, axis=1)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(stored).save(tmp_path / "a", form, exif=exif)
        upright = {  # where the first row and the first column of what is stored belong, as EXIF has it
            2: stored[:, ::-1],
            3: stored[::-1, ::-1],
            4: stored[::-1],
            5: stored.T,
            6: stored.T[:, ::-1],
            7: stored.T[::-1, ::-1],
            8: stored.T[::-1],
        }.get(orientation, stored)
        assert shape(str(tmp_path / "a")) == upright.shape
        found, expected = square(str(tmp_path / "a"), SIDE), square(upright, SIDE)
        assert found[1:] == expected[1:]
        assert np.abs(found.pixels.astype(int) - expected.pixels).max() <= 40  # of JPEG, at the edges

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    @pytest.mark.parametrize(
        "exif",
        [
            b"",
            b"garbage",
            b"MM\0*",
            b"II*\0\xff\xff\xff\x7f",
            b"II*\0\x08\0\0\0\x01\0",
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\x006\0\0\0\0\0\0\0",  # the orientation is a text
        ],
    )
    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
    def test_broken_exif_data_turn_nothing(self, tmp_path: Path, form: str, exif: bytes) -> None:
        path = tmp_path / "a"
        if form == "PNG":
            png(path, np.full((SIDE, SIDE), 77), 8, 0, (b"eXIf", exif))
        else:
            Image.new("L", (SIDE, SIDE), 77).save(path, form, exif=b"Exif\0\0" * (form == "JPEG") + exif)
        assert shape(str(path)) == (SIDE, SIDE)
        assert np.abs(seen(path) - 77).max() <= 1


class TestRefused:
    def test_nothing_is_given_to_ghostscript(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it ran"))
        (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n")
        refused(tmp_path / "a.png", f"damaged, or not one of the formats {', '.join(FORMATS)}")

    def test_what_is_no_regular_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        for path in tmp_path / "pipe.png", tmp_path, Path(os.devnull), Path("/dev/zero"):
            refused(path, "it is no regular file")

    def test_a_name_that_a_terminal_would_obey(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as raised:
            shape(f"{tmp_path}/a\n\x1b[31m\udcff.png")
        assert str(raised.value) == rf"{tmp_path}/a\n\x1b[31m\udcff.png: there is no such file."

    @pytest.mark.parametrize("name", ["a\0b", "a" * 300])
    def test_a_name_that_no_file_has(self, name: str) -> None:
        with pytest.raises(UserError, match="it is no image that can be used"):
            shape(name)

    @pytest.mark.parametrize(
        ("width", "height", "reason"),
        [
            (LARGEST + 1, 1, f"{LARGEST + 1} x 1 pixels, allowed: up to 13,000 each way"),
            (30_000, 30_000, "too many pixels, allowed: up to 13,000 each way"),
        ],
    )
    def test_there_is_one_limit(self, tmp_path: Path, width: int, height: int, reason: str) -> None:
        assert 2 * (Image.MAX_IMAGE_PIXELS or 0) > LARGEST**2  # beyond which Pillow refuses, too
        Image.new("1", (1, 1)).save(tmp_path / "a.png")
        content = bytearray((tmp_path / "a.png").read_bytes())
        content[8:33] = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(content)
        refused(tmp_path / "a.png", reason)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMATS)
def test_damage_is_an_image_or_a_sentence(tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(NUMBERS[..., :3]).save(buffer, form)
    whole, rng = buffer.getvalue(), np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for place in rng.integers(len(damaged), size=3) if damaged else []:
            damaged[place] = rng.integers(256)
        (tmp_path / "a").write_bytes(damaged)
        try:
            assert seen(tmp_path / "a").shape == (SIDE, SIDE)
        except UserError as error:
            assert str(error).startswith(f"{tmp_path}/a: ") and "\n" not in str(error)
