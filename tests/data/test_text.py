import json

import pytest
import torch

from replaytree.data import TextData
from replaytree.errors import DataError

TRAIN = "the cat sat\nthe cat ran\n"
VALID = "the dog sat\n"


def test_words_are_numbered_by_frequency_then_by_first_appearance():
    data = TextData.from_text("cats", train=TRAIN, valid=VALID)
    assert data.words == ("the", "cat", "<eos>", "sat", "ran", "<unk>")
    assert data.train_N.tolist() == [0, 1, 3, 2, 0, 1, 4, 2]
    # dog is not in the vocabulary.
    assert data.val_N.tolist() == [0, 5, 3, 2]
    assert data.train_N.dtype == torch.int64
    assert data.notes == ("1 word of the validation text is not in the vocabulary: <unk>",)
    assert (data.num_classes, data.train_count, data.val_count, data.input_shape) == (6, 8, 4, (1, 1, 1))
    assert data.nbytes == 8 * 12


def test_an_unknown_word_that_the_text_writes_itself_is_one_like_others():
    data = TextData.from_text("cats", train="the <unk> sat\n", valid="<unk> sat\n")
    assert data.words == ("the", "<unk>", "sat", "<eos>")
    assert data.notes == ()
    assert data.val_N.tolist() == [1, 2, 3]


def test_every_line_ends_even_a_blank_one_and_the_last_needs_no_newline():
    data = TextData.from_text("cats", train="a b\n\n b  a\t", valid="b")
    assert [data.words[n] for n in data.train_N] == ["a", "b", "<eos>", "<eos>", "b", "a", "<eos>"]
    assert [data.words[n] for n in data.val_N] == ["b", "<eos>"]


def test_rare_words_become_unknown():
    data = TextData.from_text("cats", train=TRAIN, valid=VALID, min_count=2)
    assert data.words == ("the", "cat", "<eos>", "<unk>")
    assert data.train_N.tolist() == [0, 1, 3, 2, 0, 1, 3, 2]
    assert data.notes[0] == "2 words of the train text became <unk>"


def test_a_limit_keeps_the_first_words_and_the_whole_vocabulary():
    whole, part = (TextData.from_text("cats", train=TRAIN, valid=VALID, train_limit=n) for n in (None, 3))
    assert part.train_N.tolist() == [0, 1, 3]
    assert part.words == whole.words


def test_fingerprint_tells_words_and_vocabulary_apart():
    data = TextData.from_text("cats", train=TRAIN, valid=VALID)
    found = json.loads(data.fingerprint.to_json())
    assert {k: found[k] for k in ("task", "train_count", "val_count", "word_count")} == {
        "task": "text", "train_count": 8, "val_count": 4, "word_count": 6,
    }  # fmt: skip
    others = [
        TextData.from_text("cats", train=TRAIN.replace("sat", "lay"), valid=VALID.replace("sat", "lay")),
        TextData.from_text("cats", train=TRAIN, valid="the cat sat\n"),
        TextData.from_text("cats", train="the cat ran\nthe cat sat\n", valid=VALID),
    ]
    assert torch.equal(others[0].train_N, data.train_N)
    digests = {each.fingerprint.sha256 for each in (data, *others)}
    assert len(digests) == 4
    assert TextData.from_text("other", train=TRAIN, valid=VALID).fingerprint == data.fingerprint


def test_another_text_in_these_words():
    data = TextData.from_text("cats", train=TRAIN, valid=VALID)
    words_N, unknown = data.encoded("a cat sat")
    assert (words_N.tolist(), unknown) == ([5, 1, 3, 2], 1)


@pytest.mark.parametrize(
    ("train", "valid", "min_count", "message"),
    [
        ("", VALID, 1, "the train text of cats is empty"),
        (TRAIN, "\n \n", 1, "the validation text of cats is empty"),
        ("cat cat\ncat\n", VALID, 1, "has the one word 'cat', so there is nothing to predict"),
        ("<unk>\n", VALID, 1, "has only <unk> and <eos>"),
        (TRAIN, VALID, 3, r"min_count is 3, and 4 words of cats are rarer; give a lower one \(--min-count\)"),
    ],
)
def test_a_text_without_words(train, valid, min_count, message):
    with pytest.raises(DataError, match=message):
        TextData.from_text("cats", train=train, valid=valid, min_count=min_count)
