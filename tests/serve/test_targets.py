"""Where a webhook may go: the public internet, and nowhere inside, whatever it is called."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from serve.targets import Forbidden, check_form, is_public, resolve


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook", "http://localhost:8000/", "http://[::1]/", "http://0.0.0.0/", "http://10.0.0.8/", "http://192.168.1.1/",
        "http://172.16.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/", "http://[::ffff:10.1.2.3]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
        "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://100.64.0.1/", "http://224.0.0.1/", "http://255.255.255.255/",
    ],
)  # fmt: skip
def test_an_inside_address_is_refused_in_every_spelling(url: str) -> None:
    with pytest.raises(Forbidden, match=r"inside a network|cannot be resolved"):
        asyncio.run(resolve(url, allow_private=False))


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "//example.org/", "http://", "http://user:pw@example.org/", "http://a b/",
     "http://example.org:0/", "http://example.org:99999/", "http://exa\nmple.org/", "http://example.org/" + "x" * 3000],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        check_form(url)


def test_a_public_address_is_called_by_what_was_checked() -> None:
    target = asyncio.run(resolve("https://1.1.1.1/hook?x=1#y", allow_private=False))
    assert (target.url, target.host, target.hostname) == ("https://1.1.1.1:443/hook?x=1", "1.1.1.1", "1.1.1.1")


def test_a_trusted_network_can_be_allowed() -> None:
    target = asyncio.run(resolve("http://localhost:9/hook", allow_private=True))
    assert target.url in ("http://127.0.0.1:9/hook", "http://[::1]:9/hook")
    assert target.host == "localhost:9"


@pytest.mark.parametrize(
    ("address", "public"), [("8.8.8.8", True), ("2606:4700::1111", True), ("64:ff9b::808:808", True), ("::", False)]
)
def test_public_is_judged_by_the_address_inside(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public
