import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from replaytree.data.augment import augment, cutout, normalise
from replaytree.errors import DataError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(*shape):
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator(1))


def windows(image_CHW, padding):
    """Every H x W window of the zero-padded image."""
    _, H, W = image_CHW.shape
    padded = functional.pad(image_CHW, (padding,) * 4)
    return [padded[:, y : y + H, x : x + W] for y in range(2 * padding + 1) for x in range(2 * padding + 1)]


def test_flip_of_two_by_two():
    images = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(64, 1, 2, 2)
    flipped = augment(images, crop_padding=0, flip=True, generator=generator())
    outcomes = {tuple(image.flatten().tolist()) for image in flipped}
    assert outcomes == {(1, 2, 3, 4), (2, 1, 4, 3)}


def test_crop_of_one_pixel():
    # one pixel of value 7 padded by 1: of the nine windows one shows it
    images = torch.full((900, 1, 1, 1), 7, dtype=torch.uint8)
    cropped = augment(images, crop_padding=1, flip=False, generator=generator())
    assert set(cropped.flatten().tolist()) == {0, 7}
    assert 60 < int((cropped == 7).sum()) < 140  # 100 expected, standard deviation 9.4


def test_crop_by_known_offset():
    # the draws of the generator, made once more: rows first, then columns
    images = random_images(4, 2, 3, 5)
    top_B, left_B = torch.randint(5, (2, 4), generator=generator(3))
    cropped = augment(images, crop_padding=2, flip=False, generator=generator(3))
    padded = functional.pad(images, (2, 2, 2, 2))
    for image, whole, top, left in zip(cropped, padded, top_B, left_B, strict=True):
        assert torch.equal(image, whole[:, top : top + 3, left : left + 5])


def test_all_offsets_and_both_sides_occur():
    image = random_images(1, 1, 4, 4)
    cropped = augment(image.expand(2000, 1, 4, 4), crop_padding=1, flip=True, generator=generator())
    allowed = {tuple(w.flatten().tolist()) for w in windows(image[0], 1)}
    allowed |= {tuple(w.flip(2).flatten().tolist()) for w in windows(image[0], 1)}
    assert len(allowed) == 18
    assert {tuple(c.flatten().tolist()) for c in cropped} == allowed


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    padding=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_a_crop_is_a_window_of_the_padded_image(shape, padding, seed):
    images = random_images(*shape)
    cropped = augment(images, crop_padding=padding, flip=False, generator=generator(seed))
    assert (cropped.shape, cropped.dtype) == (images.shape, torch.uint8)
    for image, result in zip(images, cropped, strict=True):
        assert any(torch.equal(result, window) for window in windows(image, padding))


def test_reflected_pixels_by_hand():
    # Padded by 2 the row 1 2 3 is 3 2 1 2 3 2 1; its columns are 4 5 ... times 3.
    images = (3 * torch.arange(3)[:, None] + torch.arange(1, 4)).to(torch.uint8).expand(600, 1, 3, 3)
    cropped = augment(images, crop_padding=2, flip=False, generator=generator(), padding="reflect")
    rows = [(3, 2, 1), (2, 1, 2), (1, 2, 3), (2, 3, 2), (3, 2, 1)]
    expected = {tuple(3 * (y - 1) + x for y in ys for x in xs) for ys in rows for xs in rows}
    assert {tuple(image.flatten().tolist()) for image in cropped} == expected


@settings(max_examples=30)
@given(sides=st.tuples(st.integers(2, 6), st.integers(2, 6)), padding=st.integers(0, 5), seed=st.integers(0, 1000))
def test_reflected_crops_are_those_of_torch(sides, padding, seed):
    H, W = sides
    padding = min(padding, min(sides) - 1)
    images = random_images(3, 2, H, W)
    found = augment(images, crop_padding=padding, flip=True, generator=generator(seed), padding="reflect")
    draws = generator(seed)
    top_B, left_B = torch.randint(2 * padding + 1, (2, 3), generator=draws)
    mirrored_B = torch.randint(2, (3,), generator=draws)
    whole = functional.pad(images.float(), (padding,) * 4, mode="reflect").to(torch.uint8)
    for image, padded, top, left, mirrored in zip(found, whole, top_B, left_B, mirrored_B, strict=True):
        crop = padded[:, top : top + H, left : left + W]
        assert torch.equal(image, crop.flip(2) if mirrored else crop)


def test_as_many_pixels_as_there_are_can_be_reflected():
    images = random_images(2, 1, 4, 6)
    assert augment(images, crop_padding=3, flip=False, generator=generator(), padding="reflect").shape == images.shape
    with pytest.raises(DataError, match="crop_padding is 4, and images of 4x6 have 3 pixels to reflect; give less"):
        augment(images, crop_padding=4, flip=False, generator=generator(), padding="reflect")


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_the_images_that_are_mirrored_can_be_told(padding):
    images = random_images(4, 2, 3, 5)
    mirrored_B = torch.tensor([True, False, False, True])
    plain, told = (
        augment(images, crop_padding=2, flip=flip, generator=generator(3), padding=padding)
        for flip in (False, mirrored_B)
    )
    assert torch.equal(told, torch.where(mirrored_B[:, None, None, None], plain.flip(3), plain))


@settings(max_examples=30)
@given(shape=st.tuples(*[st.integers(1, 5)] * 4), seed=st.integers(0, 1000))
def test_flip_only_permutes_columns(shape, seed):
    images = random_images(*shape)
    flipped = augment(images, crop_padding=0, flip=True, generator=generator(seed))
    for image, result in zip(images, flipped, strict=True):
        assert torch.equal(result, image) or torch.equal(result, image.flip(2))


def test_nothing_to_do_is_the_identity():
    images = random_images(3, 3, 4, 4)
    assert augment(images, crop_padding=0, flip=False, generator=generator()) is images


def test_seed_decides():
    images = random_images(16, 3, 8, 8)
    first, again, other = (augment(images, crop_padding=2, flip=True, generator=generator(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_normalise_by_hand():
    images = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    values = normalise(images, (0.5, 0.2), (0.5, 0.1), torch.float64)
    assert values.flatten().tolist() == pytest.approx([-1.0, 1.0, 0.0, 2.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_normalise_rounds_once(dtype):
    images = random_images(2, 1, 4, 4)
    values = normalise(images, (0.3,), (0.2,), dtype)
    assert values.dtype == dtype
    exact = normalise(images, (0.3,), (0.2,), torch.float64)
    assert torch.allclose(values.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_messages():
    images = random_images(2, 3, 4, 4)
    with pytest.raises(DataError, match=r"torch\.float32.*must be uint8"):
        augment(images.float(), crop_padding=0, flip=True, generator=generator())
    with pytest.raises(DataError, match=r"\(3, 4, 4\); they must be uint8 \(B, C, H, W\)"):
        normalise(images[0], (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(DataError, match=r"crop_padding is -1.*--crop-padding"):
        augment(images, crop_padding=-1, flip=True, generator=generator())
    with pytest.raises(DataError, match="3 channels, but mean has 1 and std 3"):
        normalise(images, (0.0,), (1.0,) * 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu_for_the_same_draws():
    images = random_images(32, 3, 8, 8)
    on_cpu = augment(images, crop_padding=2, flip=True, generator=generator())
    on_cuda = augment(images.cuda(), crop_padding=2, flip=True, generator=generator())
    assert on_cuda.is_cuda
    assert torch.equal(on_cuda.cpu(), on_cpu)
    drawn_there = augment(images.cuda(), crop_padding=2, flip=True, generator=torch.Generator("cuda").manual_seed(0))
    assert drawn_there.shape == images.shape


def test_cutout_blanks_one_square_at_most():
    images = torch.full((200, 2, 6, 7), 9, dtype=torch.uint8)
    out = cutout(images, size=3, fill=(0.0, 1.0), generator=torch.Generator().manual_seed(0))
    blank = out[:, 0] == 0
    assert torch.equal(blank, out[:, 1] == 255)
    assert torch.equal(out[:, 0][~blank].unique(), torch.tensor([9], dtype=torch.uint8))
    rows, columns = blank.any(dim=2).sum(dim=1), blank.any(dim=1).sum(dim=1)
    assert torch.equal(blank.sum(dim=(1, 2)), rows * columns)
    assert set(rows.tolist()) == {2, 3}
    assert int(images.min()) == 9


def test_cutout_of_nothing():
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    assert cutout(images, size=0, fill=(0.0,), generator=torch.Generator()) is images
    with pytest.raises(DataError, match="cutout is -1"):
        cutout(images, size=-1, fill=(0.0,), generator=torch.Generator())


class Copies(TorchDispatchMode):
    """Notes every operation that moves values between the CPU and a GPU."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        tensors = [each for each in (*args, result) if isinstance(each, torch.Tensor)]
        # A single number is handed to the kernel itself.
        if len({each.device.type for each in tensors if each.dim()}) > 1:
            self.found.append(str(func))
        return result


def test_nothing_is_copied_to_the_device_for_a_batch(monkeypatch):
    """On fake tensors, which have a device and no memory; the draws are made there, as a generator of it does."""
    module = sys.modules["replaytree.data.augment"]
    monkeypatch.setattr(module, "_draw", lambda high, shape, generator: torch.randint(high, shape, device="cuda"))
    with FakeTensorMode(), Copies() as copies:
        torch.tensor([1.0, 2.0], device="cuda")
        assert copies.found.pop() == "aten._to_copy.default"
        images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8, device="cuda")
        images = augment(images, crop_padding=2, flip=True, generator=None)
        images = augment(images, crop_padding=2, flip=True, generator=None, padding="reflect")
        images = cutout(images, size=3, fill=(0.1, 0.2, 0.3), generator=None)
        values = normalise(images, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
        assert (values.device.type, values.shape) == ("cuda", (4, 3, 8, 8))
    assert copies.found == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_of_a_batch_waits_for_the_device():
    images, draws = random_images(32, 3, 8, 8).cuda(), torch.Generator("cuda")
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        images = augment(images, crop_padding=2, flip=True, generator=draws)
        images = cutout(images, size=3, fill=(0.1, 0.2, 0.3), generator=draws)
        normalise(images, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    finally:
        torch.cuda.set_sync_debug_mode(before)
