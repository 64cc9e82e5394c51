from __future__ import annotations

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from replaytree.tree.storage_errors import shown, translated


@pytest.mark.parametrize(
    ("url", "as_shown"),
    [
        ("sqlite:///replaytree.db", "sqlite:///replaytree.db"),
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:sec@ret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
    ],
)
def test_passwords_are_not_shown(url, as_shown):
    assert shown(url) == as_shown
    assert "secret" not in shown(make_url(url.replace("sec@ret", "secret")))


def test_a_password_in_the_drivers_words_is_not_shown():
    error = OperationalError("SELECT 1", {}, Exception("no route\n to me:secret@host"))
    text = str(translated(error, make_url("postgresql://me:secret@host/db"), opening=True))
    assert text == "postgresql://me:***@host/db cannot be opened (no route to me:***@host); check --storage"
