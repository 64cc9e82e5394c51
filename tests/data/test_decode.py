"""Hand-made pictures and the values that they must have, worked out by hand or by Pillow's own conversion."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from replaytree.data import decode
from replaytree.data.decode import read_images, reason
from replaytree.errors import DataError


@pytest.fixture
def save(tmp_path):
    def write(image, name="picture.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture
def write(tmp_path):
    def put(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return put


def pixels(*files, size=2, **options):
    decoded = read_images(files, sides=(size, size), **options)
    assert decoded.bad == {}
    return decoded.images_NCHW


def png(values, colour_type, *, extra=()):
    """A PNG of 16 bits: colour type 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    values = np.asarray(values, dtype=">u2")
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    parts = [header, *(chunk(*each) for each in extra), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pgm(values, maxval):
    values = np.asarray(values, dtype=">u2" if maxval > 255 else np.uint8)
    return b"P5 %d %d %d\n" % (*values.shape[::-1], maxval) + values.tobytes()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 128), (127, 127, 127)),  # 0 * 128/255 + 255 * 127/255
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),  # 255 * 204/255
        ("LA", (0, 0), (255,)),
        ("LA", (40, 255), (40,)),
        ("L", 77, (77,)),
        ("1", 1, (255,)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
    ],
)
def test_every_mode_is_grey_or_rgb(save, mode, colour, expected):
    form = "picture.tif" if mode in ("CMYK", "YCbCr", "LAB") else "picture.png"
    found = pixels(save(Image.new(mode, (2, 2), colour), form))
    assert found[0, :, 0, 0].tolist() == pytest.approx(expected, abs=1 if mode == "LAB" else 0)


@pytest.mark.parametrize(("mode", "key"), [("P", 1), ("L", 9), ("RGB", (9, 9, 9))])
def test_a_transparent_colour_shows_the_ground(save, mode, key):
    image = Image.new(mode, (2, 1), 0)
    if mode == "P":
        image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), key)
    found = pixels(save(image, transparency=key), size=2)
    assert found[0, :, 0, 1].tolist() == [255] * len(found[0])
    assert found[0, 0, 0, 0] == (10 if mode == "P" else 0)


def test_icons_of_one_colour_differ_by_their_alpha(save):
    shapes = []
    for number in range(4):
        icon = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
        icon.putpixel((number % 2, number // 2), (0, 0, 0, 255))
        shapes.append(save(icon, f"{number}.png"))
    found = pixels(*shapes)
    assert len({image.tobytes() for image in found}) == 4


def test_cmyk_jpeg_of_adobe_is_not_a_negative(save):
    """Adobe's JPEGs store CMYK inverted; Pillow writes that marker, too."""
    assert pixels(save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "ink.jpg"), size=1)[0, :, 0, 0].tolist() == (
        pytest.approx([255, 0, 0], abs=3)
    )


@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(save, form, orientation):
    """A picture whose upper left quarter is white when it is upright, stored in each of the eight ways."""
    upright = Image.new("L", (16, 16), 0)
    upright.paste(255, (0, 0, 8, 8))
    stored = {
        1: upright, 2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.rotate(180), 4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE), 6: upright.rotate(90, expand=True),
        7: upright.transpose(Image.Transpose.TRANSVERSE), 8: upright.rotate(-90, expand=True),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "webp" else {}
    found = pixels(save(stored, f"turned.{form}", exif=exif, **options), size=2)[0, 0]
    assert (found > 128).tolist() == [[True, False], [False, False]]


def test_damaged_exif_leaves_the_picture(save):
    file = save(Image.new("L", (2, 2), 50), "odd.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert pixels(file).tolist() == [[[[50, 50], [50, 50]]]]


def test_maxval_of_a_pgm_is_its_white(write):
    for maxval in (100, 255, 1023, 4095, 65535):
        found = pixels(write(f"{maxval}.pgm", pgm([[0, maxval]] * 2, maxval)))
        assert found[0, 0, 0].tolist() == [0, 255]
    assert pixels(write("half.pgm", pgm([[512, 512]] * 2, 1023)))[0, 0, 0, 0] == 128  # 512/1023 of 256


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1020), (12, 4080), (14, 16320), (16, 65280)])
def test_the_range_is_that_of_all_pictures(write, bits, white):
    """One picture reaches white and one is dark: both by the depth of the whole set, never each by its own."""
    bright = write("bright.png", png([[0, white]] * 2, 0))
    dark = write("dark.png", png([[0, white // 255]] * 2, 0))
    decoded = read_images([bright, dark], sides=(2, 2))
    assert decoded.ranges == {"integer": (0.0, 2.0**bits - 1)}
    assert decoded.images_NCHW[:, 0, 0].tolist() == [[0, 255], [0, 1]]
    assert decoded.deep == 2


def test_a_given_range_is_kept(write):
    dark = write("dark.png", png([[0, 16]] * 2, 0))
    assert pixels(dark, ranges={"integer": (0.0, 4095.0)})[0, 0, 0].tolist() == [0, 1]
    assert read_images([dark], sides=(2, 2), ranges={}).bad == {
        0: "holds more than 8 bits a value, and the training images did not: scale its values to 0 to 255 and save it "
        "with 8 bits"
    }
    assert read_images([dark], sides=(2, 2), ranges={"integer": (0.0, 15.0)}).bad == {
        0: "holds values from 0 to 16, and the training images 0 to 15"
    }


@pytest.mark.parametrize("largest", [255, 4095, 65535])
def test_colour_of_sixteen_bits_keeps_its_lower_byte(write, largest):
    values = np.array([[[0, largest // 2, largest]] * 2] * 2)
    found = pixels(write("deep.png", png(values, 2)))[0, :, 0, 0]
    assert found.tolist() == [0, 127, 255]


@pytest.mark.parametrize(("colour_type", "value", "expected"), [(4, [4095, 0], 255), (4, [0, 4095], 0)])
def test_alpha_of_sixteen_bits(write, colour_type, value, expected):
    found = pixels(write("deep.png", png([[value] * 2] * 2, colour_type)))
    assert found[0, :, 0, 0].tolist() == [expected] * found.shape[1]


def test_a_transparent_value_of_sixteen_bits(write):
    keyed = png([[7, 4095]] * 2, 0, extra=[(b"tRNS", struct.pack(">H", 7))])
    assert pixels(write("keyed.png", keyed))[0, 0, 0].tolist() == [255, 255]


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize(
    ("values", "span", "expected"),
    [
        (np.array([[0, 4095]], np.uint16), (0, 4095), [0, 255]),
        (np.array([[0, 70_000]], np.int32), (0, 2**24 - 1), [0, 1]),  # 70000 of 2^24 is 1.07 of 256
        (np.array([[-1000, 1000]], np.int32), (-2048, 2047), [65, 190]),  # (2048 - 1000) / 16 and (2048 + 1000) / 16
        (np.array([[0.0, 1.0]], np.float32), (0, 1), [0, 255]),
        (np.array([[0.0, 200.0]], np.float32), (0, 255), [0, 200]),
        (np.array([[-3.0, 5.0]], np.float32), (-3, 5), [0, 255]),
    ],
)
def test_tiff_of_many_bits(save, values, span, expected, compression):
    options = {} if compression is None else {"compression": compression}
    decoded = read_images([save(Image.fromarray(np.repeat(values, 2, 0)), "deep.tif", **options)], sides=(2, 2))
    assert list(decoded.ranges.values()) == [span]
    assert decoded.images_NCHW[0, 0, 0].tolist() == expected


def test_a_float_that_is_none(save):
    decoded = read_images([save(Image.fromarray(np.array([[np.nan, 1]], np.float32)), "odd.tif")], sides=(2, 2))
    assert decoded.bad == {0: "holds values that are not finite"}


@pytest.mark.parametrize("form", ["gif", "webp", "png", "tif"])
def test_the_first_frame_is_taken_and_counted(save, form):
    first, second = (Image.new("L", (4, 4), value) for value in (200, 10))
    options = {"lossless": True} if form == "webp" else {}
    moving = save(first, f"moving.{form}", save_all=True, append_images=[second], **options)
    still = save(first, f"still.{form}", **options)
    decoded = read_images([moving, still], sides=(2, 2))
    assert (decoded.framed, decoded.bad) == (1, {})
    assert decoded.images_NCHW[:, 0, 0, 0].tolist() == [200, 200]


@pytest.mark.parametrize("form", ["avif", "jp2", "jfif", "bmp", "ppm", "tga", "ico", "qoi", "JPEG"])
def test_other_formats(save, form):
    options = {"format": "JPEG"} if form == "jfif" else {}
    found = pixels(save(Image.new("RGB", (16, 16), (200, 100, 50)), f"picture.{form}", **options))
    assert found[0, :, 0, 0].tolist() == pytest.approx([200, 100, 50], abs=4)


def test_a_huge_sound_scan_is_read(save, monkeypatch):
    """More pixels than Pillow's own limit, without a word; the limit is as it was afterwards."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    file = save(Image.new("L", (64, 64), 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(file)[0, 0, 0, 0] == 9
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_picture_beyond_all_bounds_is_refused_with_its_size(save, monkeypatch):
    monkeypatch.setattr(decode, "MOST_PIXELS", 1_000_000)
    found = read_images([save(Image.new("1", (1001, 1000)))], sides=(2, 2))
    assert found.bad == {0: "has 1001x1000 pixels, more than 1 million: make it smaller"}


def test_a_png_with_a_long_text_is_read(save):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    assert pixels(save(Image.new("L", (2, 2), 8), pnginfo=info))[0, 0, 0, 0] == 8
    assert PngImagePlugin.MAX_TEXT_CHUNK == 1 << 20


def test_why_a_file_is_bad(write, save, tmp_path):
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, "JPEG")
    files = [
        write("text.png", b"no picture"),
        write("empty.png", b""),
        write("cut.jpg", stream.getvalue()[:-100]),
        tmp_path / "missing.png",
        tmp_path,
    ]
    why = read_images(files, sides=(2, 2)).bad
    assert list(why.items()) == [
        (0, "not a picture that Pillow knows"),
        (1, "not a picture that Pillow knows"),
        (2, "truncated or damaged"),
        (3, "no such file or directory"),
        (4, "is a directory"),
    ]


def test_damage_is_told_in_plain_words():
    """Of Pillow's own words only those stay that say more than that a file is damaged."""
    assert reason(OSError("could not create decoder object")) == "truncated or damaged"
    assert reason(SyntaxError("broken PNG file")) == "truncated or damaged"
    assert reason(OSError("Unsupported BMP compression (9)")) == "Unsupported BMP compression (9)"
    assert reason(DataError("holds values that are not finite")) == "holds values that are not finite"


@given(st.integers(1, 6), st.sampled_from(["L", "RGB"]), st.sampled_from(["png", "bmp", "tif", "webp"]), st.randoms())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_picture_of_the_right_size_is_read_exactly(tmp_path, side, mode, form, random):
    values = bytes(random.randrange(256) for _ in range(side * side * len(mode)))
    image = Image.frombytes(mode, (side, side), values)
    image.save(tmp_path / f"exact.{form}", **({"lossless": True, "exact": True} if form == "webp" else {}))
    found = pixels(tmp_path / f"exact.{form}", size=side)[0]
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(np.broadcast_to(found, expected.shape), expected)
