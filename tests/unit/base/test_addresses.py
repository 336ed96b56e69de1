"""Which URLs from outside this machine lets itself be sent to."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.base.addresses import check_public_url, find_public_addresses
from penstock.base.errors import SettingsError


def found(url: str, *addresses: str, allow_loopback: bool = False) -> tuple[str, ...]:
    return find_public_addresses(url, allow_loopback=allow_loopback, resolve=lambda host, port: addresses)


def reason(url: str, *addresses: str, allow_loopback: bool = False) -> str:
    with pytest.raises(SettingsError) as caught:
        found(url, *addresses, allow_loopback=allow_loopback)
    assert caught.value.code == "address.not-public"
    assert caught.value.hint
    return caught.value.message


def test_a_public_https_address_passes_and_is_returned() -> None:
    assert found("https://api.openai.com/v1", "162.159.140.245", "2606:4700::1") == ("162.159.140.245", "2606:4700::1")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:7f00:1::1",
        "2002:a00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)  # fmt: skip
def test_no_address_inside_a_machine_network_or_cloud_passes_however_it_is_wrapped(address: str) -> None:
    assert "not a public address" in reason("https://example.com/v1", address)
    assert "not a public address" in reason("https://example.com/v1", "162.159.140.245", address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com", "//example.com", "example.com", "",
        "https://", "https:///v1", "https://user@example.com/", "https://user:word@example.com/", "https://@example.com",
        "https://example.com\\@127.0.0.1/", "https://exa mple.com", "https://example.com\r\nHost: x", "https://éxample.com",
        "https://127。0。0。1", "https://exam%70le.com/", "https://example.com:port/", "https://[::1", "https://[zz]/",
        "https://example.com/v1?to=x", "https://example.com/v1#x", "https://-example.com", "http://example.com",
        "https://①②⑦.0.0.1",
    ],
)  # fmt: skip
def test_what_two_parsers_could_read_differently_or_is_not_https_is_refused(url: str) -> None:
    reason(url, "162.159.140.245")


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0"])
def test_every_way_to_write_this_machine_is_refused_after_the_name_service_was_asked(host: str) -> None:
    with pytest.raises(SettingsError, match="not a public address"):
        check_public_url(f"https://{host}/v1")


def test_this_machine_passes_only_where_it_is_allowed() -> None:
    check_public_url("http://127.0.0.1:8089/openai/v1", allow_loopback=True)
    check_public_url("https://[::1]:8089/openai/v1", allow_loopback=True)
    assert "not a public" in reason("http://example.com", "10.0.0.1", allow_loopback=True)
    assert "only https" in reason("http://example.com", "162.159.140.245", allow_loopback=True)


def test_a_name_without_an_address_is_refused() -> None:
    assert "no address" in reason("https://example.com")


@given(st.ip_addresses())
@example(ip_address("169.254.169.254"))
def test_only_global_addresses_pass(address: object) -> None:
    inside = ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "fc00::/7", "fe80::/10", "::1/128"]
    try:
        found("https://example.com", str(address))
    except SettingsError:
        return
    assert not any(address in ip_network(network) for network in inside)
    assert ip_address(str(address)).is_global
