"""--remote, taken apart."""

from __future__ import annotations

import pytest

from producer.errors import BadInput
from producer.publish import Access, Address, connect, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("webhdfs://h:9870/a/b/", Address("webhdfs", "h", 9870, "/a/b")),
        ("webhdfs://h/", Address("webhdfs", "h", 9870, "/")),
        ("hdfs://h/models", Address("hdfs", "h", 8020, "/models")),
        ("afs://h:1/models", Address("afs", "h", 1, "/models")),
        ("ftp://u:p%40ss@[::1]:2121/x%20y", Address("ftp", "::1", 2121, "/x y", "u", "p@ss")),
        ("ftp://h/", Address("ftp", "h", 21, "/")),
        ("ftps://h/x", Address("ftps", "h", 21, "/x")),
        ("ftps-implicit://u@h/x", Address("ftps-implicit", "h", 990, "/x", "u")),
        ("file:///srv/www/", Address("file", "", 0, "/srv/www")),
        ("file://localhost/srv", Address("file", "", 0, "/srv")),
    ],
)
def test_a_url_is_taken_apart(url: str, address: Address) -> None:
    assert parse(url) == address


def test_percent_encoded_bytes_are_text_in_the_encoding_of_the_server_s_names() -> None:
    assert parse("ftp://h/%C4%A3%D0%CD", "gbk").path == "/模型"
    assert parse("ftp://h/模型", "gbk").path == "/模型"
    with pytest.raises(BadInput, match=r"a letter that --ftp_encoding latin-1 does not have"):
        connect(parse("ftp://h/模型"), Access(ftp_encoding="latin-1"))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("models", "unknown scheme ''"),
        ("s3://bucket/x", "unknown scheme 's3'"),
        ("ftp:///path", "no host"),
        ("ftp://h", "no absolute path"),
        ("ftp://h:99999/x", "not a URL"),
        ("ftp://h:port/x", "not a URL"),
        ("webhdfs://h/x?op=DELETE", "a query"),
        ("file://elsewhere/x", "names the host elsewhere"),
        ("ftp://h/x%0d%0aDELE y", "a control character"),
        ("ftp://h/%D0%CD", "bytes that are not utf-8"),
    ],
)
def test_a_wrong_url_gives_one_sentence(url: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=r"^--remote ") as caught:
        parse(url)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_masked_wherever_an_address_is_printed() -> None:
    address = parse("ftp://user:s3cret@h:21/x")
    assert str(address) == "ftp://user:***@h:21/x"
    access = Access(ftp_password="s3cret", fs_ugi="user,s3cret")
    assert "s3cret" not in f"{address} {address!r} {access!r}"
    assert "s3cret" not in connect(address, access).where("donefile")


def test_hadoop_needs_its_command() -> None:
    with pytest.raises(BadInput, match="give --hadoop_bin"):
        connect(parse("hdfs://h:9000/x"), Access())
    with pytest.raises(BadInput, match="/no/hadoop is not an executable"):
        connect(parse("hdfs://h:9000/x"), Access(hadoop_bin="/no/hadoop"))
