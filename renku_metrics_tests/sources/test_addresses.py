"""What is kept of an email address: a keyed hash and its kind, and never the address."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renku_metrics.sources.addresses import Address, AddressBook

KEY = b"key"
BOOK = AddressBook(KEY, ["renkulab.io", "GitLab.Renkulab.io"])
# printf 'ada@uni.example' | openssl dgst -sha256 -hmac key
ADA = "ec61496aaa7b8074e4008594db46ef6038673946d4f8d1da88ecb39708722a4b"


def test_hashes_are_hmac_sha_256() -> None:
    assert BOOK.hash("ada@uni.example") == ADA
    assert BOOK.read("ada@uni.example") == Address(ADA, "personal")


@pytest.mark.parametrize("written", ["Ada@Uni.Example", "  ada@uni.example\n", "\tADA@UNI.EXAMPLE "])
def test_ways_to_write_an_address_have_one_hash(written: str) -> None:
    assert BOOK.hash(written) == ADA
    assert BOOK.read(written).hash == ADA


def test_accents_have_one_hash_however_they_are_composed() -> None:
    composed = "andr\u00e9@uni.example"

    assert BOOK.hash(unicodedata.normalize("NFD", composed)) == BOOK.hash(composed)
    assert BOOK.hash("andre@uni.example") != BOOK.hash(composed)


def test_another_key_gives_another_hash() -> None:
    assert AddressBook(b"other key", []).hash("ada@uni.example") != ADA


def test_a_text_that_is_no_address_is_hashed_as_it_is() -> None:
    # printf 'Ada ' | openssl dgst -sha256 -hmac key
    assert BOOK.keyed_hash("Ada ") == "4b1f7568eccb1ab8d5ae9511cde3cd42b4c280d33e109a02dc65d1ac897cb9f2"
    assert BOOK.keyed_hash("Ada ") != BOOK.keyed_hash("ada")


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_is_read_and_none_of_it_is_kept(text: str) -> None:
    address = BOOK.read(text)

    assert len(address.hash) == 64
    assert set(address.hash) <= set("0123456789abcdef")
    assert address.hash == BOOK.hash(text)
    assert address.gitlab_user_id is None or 0 <= address.gitlab_user_id < 2**63


def test_half_a_character_does_not_stop_a_pull() -> None:
    # json.loads makes such a string of "\\ud800".
    assert BOOK.read("ada\ud800@uni.example").kind == "personal"
    assert BOOK.hash("ada\ud800@uni.example") != BOOK.hash("ada\ud801@uni.example")


@pytest.mark.parametrize(
    "written",
    [
        "123-ada@users.noreply.renkulab.io",
        "123-Ada.L@users.noreply.GITLAB.renkulab.io",
        "123-@users.noreply.renkulab.io ",
    ],
)
def test_a_noreply_address_of_the_deployment_names_the_gitlab_user(written: str) -> None:
    address = BOOK.read(written)

    assert (address.kind, address.gitlab_user_id) == ("noreply", 123)
    assert address.hash == BOOK.hash(written)


@pytest.mark.parametrize(
    "written",
    [
        "123-ada@users.noreply.github.com",
        "123-ada@users.noreply.renkulab.io.uni.example",
        "123-ada@users.noreply.xrenkulab.io",
        "ada@users.noreply.renkulab.io",
        "123ada@users.noreply.renkulab.io",
        "x123-ada@users.noreply.renkulab.io",
        "123-a@b@users.noreply.renkulab.io",
        # Too large for any column of ids; whoever sets it as an author's address must not stop the pull.
        "99999999999999999999-ada@users.noreply.renkulab.io",
        "\u0663-ada@users.noreply.renkulab.io",
    ],
)
def test_any_other_noreply_address_is_a_personal_one(written: str) -> None:
    address = BOOK.read(written)

    assert (address.kind, address.gitlab_user_id) == ("personal", None)


@pytest.mark.parametrize(
    "written",
    [
        "project_12_bot_1a2b3c@noreply.renkulab.io",
        "project_12_bot@example.com",
        "Group_7_bot2@noreply.gitlab.renkulab.io",
        "49699333+dependabot[bot]@users.noreply.github.com",
        "renovate[Bot]@uni.example",
    ],
)
def test_bots_and_access_tokens_are_bots(written: str) -> None:
    assert BOOK.read(written).kind == "bot"


@pytest.mark.parametrize(
    "written", ["robot@uni.example", "project_manager@uni.example", "a.project_12_bot@uni.example"]
)
def test_names_like_bots_are_people(written: str) -> None:
    assert BOOK.read(written).kind == "personal"


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "   ",
        "root@localhost",
        "root@1f2e3d4c5b6a",
        "ada@localhost.localdomain",
        "You@Example.com",
        "your.email@example.com",
        "user@example.org",
        # Reserved for examples and tests: nobody's, whatever stands before.
        "your_email@example.com",
        "your_name@example.net",
        "johndoe@example.com",
        "admin@example.com",
        "ada@mail.example.org",
        "nobody@nowhere.invalid",
        "ada@server.test",
        "ada@host.localhost",
        "Root@local.host",
        "foo@bar.com",
        "test@test.com",
        "user@domain.com",
        "noreply@github.com",
        "jovyan@jupyter-ada-2dproject.renku.svc",
        "Jovyan@localhost",
        "ada",
        "@uni.example",
    ],
)
def test_addresses_that_are_nobodys_own_are_shared(written: str | None) -> None:
    assert BOOK.read(written).kind == "shared"


@pytest.mark.parametrize(
    "written",
    [
        "you@uni.example",
        "not.jovyan@uni.example",
        "root@ethz.ch",
        "ada@domain.com",
        "ada@notexample.com",
        "ada@contest.org",
        "ada@test.ch",
        "foo@foobar.com",
    ],
)
def test_addresses_like_shared_ones_are_personal(written: str) -> None:
    assert BOOK.read(written).kind == "personal"


def test_no_address_and_an_empty_one_are_the_same() -> None:
    assert BOOK.read(None) == BOOK.read("") == BOOK.read(" ")
