"""What URLs say by themselves, and which are refused before anything is asked."""

from pathlib import Path

import pytest

from reseed.store.url import Url, path_or_url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "of a kind that is not read"),
        ("memory://a", "of a kind that is not read"),
        ("reference://a", "of a kind that is not read"),
        ("s3://", "without a bucket or host"),
        ("http:///a.wav", "without a bucket or host"),
        ("https://me:secret@host/a.wav", "with a password"),
        ("https://token@host/a.wav", "with a password"),
        ("sftp://me:secret@host/a.wav", "with a password"),
        ("https://host/a.wav?X-Amz-Signature=abc", "with a signature"),
        ("https://host/a.wav?x=1&sig=abc", "with a signature"),
        ("s3://bucket/../other/a.wav", "leads upwards"),
        ("http://host/a/%2e%2e/b.wav", "leads upwards"),
        ("http://host/a/..%2fb.wav", "leads upwards"),
        ("http://host/a/..\\b.wav", "leads upwards"),
    ],
)
def test_a_url_that_no_store_has_or_that_holds_a_secret_is_refused(url, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        path_or_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["/data/a.wav", "s3:/bucket/a.wav", "C://a.wav", "a//b.wav", "://x", "simplecache::http://host/a"]
)
def test_what_is_no_url_is_a_path(text):
    assert path_or_url(text) == Path(text)


@pytest.mark.parametrize(
    ("start", "relative", "expected"),
    [
        ("s3://bucket/lists", "wav/a b#1.wav", "s3://bucket/lists/wav/a b#1.wav"),
        ("s3://bucket/lists/", "../wav/./a.wav", "s3://bucket/wav/a.wav"),
        ("http://host:80/lists", "wav/a b#1?%.wav", "http://host:80/lists/wav/a%20b%231%3F%25.wav"),
        ("http://host/lists?key=1", "é.wav", "http://host/lists/%C3%A9.wav"),
        ("s3://bucket", "a//b.wav", "s3://bucket/a/b.wav"),
    ],
)
def test_relative_paths_lead_from_a_folder_to_its_files(start, relative, expected):
    assert str(Url(start) / relative) == expected


def test_relative_paths_do_not_leave_the_bucket():
    with pytest.raises(ValueError, match="leads upwards"):
        Url("s3://bucket/a") / "../../other/b.wav"


def test_names_are_those_of_files():
    place = Url("https://host/data%201/a%2Bb.tar?download=1")
    assert place.name == "a+b.tar"
    assert str(place.parent) == "https://host/data%201"
    assert str(place.with_name("b.json")) == "https://host/data%201/b.json"
    assert Url("http://host/set").relative("http://host/set/s%231/a%20b.wav") == "s#1/a b.wav"


@pytest.mark.parametrize(
    ("folder", "url", "holds"),
    [
        ("s3://bucket/speech", "s3://bucket/speech/a.wav", True),
        ("s3://bucket/speech/", "s3://bucket/speech/a.wav", True),
        ("s3://bucket", "s3://bucket/speech/a.wav", True),
        ("s3://bucket/speech/a.wav", "s3://bucket/speech/a.wav", True),
        ("http://host/a%20b", "http://host/a b/c.wav", True),
        ("s3://bucket/speech", "s3://bucket/speeches/a.wav", False),
        ("s3://bucket/speech", "s3://bucket2/speech/a.wav", False),
        ("s3://bucket", "s3://bucket2/a.wav", False),
        ("http://host", "http://host.evil.example/a.wav", False),
        ("http://host", "http://host:22/a.wav", False),
        ("http://host/x", "http://host%2fx/a.wav", False),
        ("https://host/x", "http://host/x/a.wav", False),
    ],
)
def test_a_folder_holds_what_lies_below_it_and_nothing_else(folder, url, holds):
    assert Url(folder).holds(Url(url)) == holds
