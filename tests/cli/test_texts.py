"""Commands on a text, and what they say where something is wrong with it: one line, and exit code 2."""

import re

import pytest

SMALL = ["--hidden", 4, "--bptt", 8, "--batch-size", 16, "--max-layers", 2, "--epochs", 1, "--trainings", 1]


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/texts.db"


def test_a_search_on_a_text(replaytree, text_folder, storage):
    code, out, err = replaytree("run", "--dataset", text_folder, "--storage", storage, *SMALL, "--name", "a")
    assert code == 0
    assert re.search(r"search a: stories: 1099 train, \d+ validation words; guided, .* enas-rnn, hidden 4", out + err)
    code, out, _ = replaytree("resume", "a", "--storage", storage, "--trainings", 1)
    assert code == 0
    assert "2 trainings" in out
    code, out, err = replaytree("best", "a", "--baselines", "--storage", storage)
    assert (code, out, err) == (2, "", "Error: baselines are networks for images, and search 'a' is of text\n")


def written(folder, part, text):
    (folder / f"{part}.txt").write_text(text)


@pytest.mark.parametrize(
    "fault",
    [
        (("valid", "\n"), [], "the validation text of stories is empty"),
        (("train", "cat cat\n"), [], "has the one word 'cat', so there is nothing to predict"),
        (("train", "the cat sees\n"), ["--batch-size", 2], "4 words of stories in 2 columns make 1 a column"),
        (None, ["--batch-size", 2000], "in 2,000 columns make 0 a column; give --batch-size 137 or less"),
        (
            None,
            ["--space", "zoph"],
            "space 'zoph' is for images, and the data set stories is text; spaces for text are",
        ),
        (None, ["--flip"], "--flip is for images"),
        (None, ["--task", "images"], "has no option 'hidden'"),
    ],
)
def test_a_text_that_cannot_be_searched(replaytree, text_folder, fault):
    change, words, message = fault
    storage = "sqlite:///texts.db"
    if change is not None:
        written(text_folder, *change)
    code, _, err = replaytree("run", "--dataset", text_folder, "--storage", storage, *SMALL, *words)
    assert code == 2
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1


def test_spaces_of_the_other_task(replaytree, text_folder, storage):
    code, _, err = replaytree("run", "--dataset", text_folder, "--storage", storage, "--space", "xu24")
    assert (code, err) == (
        2,
        "Error: space 'xu24' is for images, and the data set stories is text; spaces for text are darts-rnn, enas-rnn, "
        "nas-rnn, plain-rnn (--space)\n",
    )
    code, _, err = replaytree("run", "--storage", storage, "--space", "nas-rnn")
    assert code == 2
    assert err.startswith("Error: space 'nas-rnn' is for text, and the data set digits is images; spaces for")


def test_a_folder_without_a_validation_text_is_said_to_be_a_text(replaytree, text_folder, storage):
    (text_folder / "valid.txt").unlink()
    code, _, err = replaytree("run", "--dataset", text_folder, "--storage", storage, *SMALL)
    assert (code, err.count("\n")) == (2, 1)
    assert "has no valid.txt; a text is a folder with train.txt, valid.txt and test.txt" in err
    # With folders beside it, it may be a list of pictures.
    (text_folder / "cat").mkdir()
    code, _, err = replaytree("run", "--dataset", text_folder, "--storage", storage)
    assert code == 2
    assert "class" in err


def test_a_text_that_has_changed_since(replaytree, text_folder, storage):
    assert replaytree("run", "--dataset", text_folder, "--storage", storage, *SMALL, "--name", "a")[0] == 0
    written(text_folder, "train", (text_folder / "train.txt").read_text() + "a unicorn sings\n")
    code, _, err = replaytree("resume", "a", "--storage", storage, "--trainings", 1)
    assert code == 2
    assert "stories are not those of search 'a': train_count was 1099, is 1103; put them back" in err


def test_a_perplexity_that_overflows(replaytree, text_folder, storage):
    wild = ["--text-clip", "none", "--learning-rate", "1e6"]
    code, out, _ = replaytree("run", "--dataset", text_folder, "--storage", storage, *SMALL, *wild, "--name", "a")
    assert code == 0
    assert "diverged" in out
