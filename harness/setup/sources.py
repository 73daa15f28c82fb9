"""Finds where packages and jars come from on this machine, and which certificates count.

    python3 harness/setup/sources.py COMMAND [ARG ...]

runs a command with these settings for uv and pip.

Administrators configure mirrors, proxies and certificate authorities for pip, Maven and the system.
The set-up uses uv and jgo, which do not read those settings. This module reads them and passes them
on. A user's own settings for uv or requests win.

Standard library only, Python 3.6 or newer: the set-up uses it before there is an environment.
"""

import configparser
import os
import re
import sys
from typing import Dict, List, NamedTuple, Optional
from urllib.parse import quote
from xml.etree import ElementTree

# Where Debian and Ubuntu, Fedora and Red Hat, SUSE, and Alpine keep the system's bundle.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_UV_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
_UV_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")


class Setting(NamedTuple):
    """A value and the place where it is set."""

    value: str
    where: str


def _pip_files() -> List[str]:
    """Return pip's configuration files; a later one wins."""
    given = os.environ.get("PIP_CONFIG_FILE")
    if given == os.devnull:
        return []
    folders = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    files = [os.path.join(folder, "pip", "pip.conf") for folder in reversed(folders)]
    files.append("/etc/pip.conf")
    files.append(os.path.expanduser("~/.pip/pip.conf"))
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    files.append(os.path.join(config, "pip", "pip.conf"))
    files.append(os.path.join(sys.prefix, "pip.conf"))
    return [*files, given] if given else files


def pip_settings() -> Dict[str, Setting]:
    """Return pip's settings from its files and variables, by option name."""
    found: Dict[str, Setting] = {}
    for file in _pip_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        # pip reads the section of its command after [global].
        for section in ("global", "install"):
            if parser.has_section(section):
                for name, value in parser.items(section):
                    found[name.replace("_", "-")] = Setting(value.strip(), file)
    for variable, value in os.environ.items():
        if variable.startswith("PIP_") and value:
            found[variable[4:].lower().replace("_", "-")] = Setting(value, variable)
    return found


def _uv_configured() -> bool:
    """Return whether a uv.toml of the user or of the system names an index."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    files = [
        os.environ.get("UV_CONFIG_FILE"),
        os.path.join(config, "uv/uv.toml"),
        "/etc/uv/uv.toml",
    ]
    for file in filter(None, files):
        try:
            with open(file, encoding="utf-8") as content:
                if "index" in content.read():
                    return True
        except (OSError, UnicodeDecodeError):
            continue
    return False


def certificates() -> Optional[Setting]:
    """Return the bundle of certificate authorities for this machine, or None.

    The first of these counts: a variable for OpenSSL, requests or curl; pip's setting; the system's
    bundle.
    """
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        value = os.environ.get(variable)
        if value:
            return Setting(value, variable)
    pip = pip_settings().get("cert")
    if pip and os.path.exists(pip.value):
        return pip
    for file in _BUNDLES:
        if os.path.isfile(file):
            return Setting(file, "the system")
    return None


def uv_environment() -> Dict[str, str]:
    """Return variables for uv and pip from the settings of pip and the system.

    Variables that the user set are left out.
    """
    pip = pip_settings()
    told: Dict[str, str] = {}
    if not any(os.environ.get(name) for name in _UV_CERTIFICATES):
        bundle = certificates()
        if bundle and bundle.where != "the system":
            told["SSL_CERT_FILE"] = bundle.value
        else:
            # The second name is for an older uv of the user.
            told["UV_SYSTEM_CERTS"] = told["UV_NATIVE_TLS"] = "true"
    told.update(requests_environment())
    if not any(os.environ.get(name) for name in _UV_INDEX) and not _uv_configured():
        if "index-url" in pip:
            told["UV_DEFAULT_INDEX"] = pip["index-url"].value
        if "extra-index-url" in pip:
            told["UV_INDEX"] = " ".join(pip["extra-index-url"].value.split())
            # Like pip, uv must search all indexes. The hashes of the lock prove the result.
            told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        links = pip["find-links"].value.split() if "find-links" in pip else []
        # Unlike pip, uv fails on a missing folder.
        links = [link for link in links if "://" in link or os.path.isdir(link)]
        if links:
            told["UV_FIND_LINKS"] = ",".join(links)
    if "trusted-host" in pip:
        told["UV_INSECURE_HOST"] = " ".join(pip["trusted-host"].value.split())
    if "proxy" in pip:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            if not os.environ.get(name) and not os.environ.get(name.lower()):
                told[name] = pip["proxy"].value
    return {name: value for name, value in told.items() if not os.environ.get(name)}


def requests_environment() -> Dict[str, str]:
    """Return variables that make requests use this machine's bundle instead of its own."""
    if os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        return {}
    bundle = certificates()
    return {"REQUESTS_CA_BUNDLE": bundle.value} if bundle else {}


def _settings_files() -> List[str]:
    files = [os.path.expanduser("~/.m2/settings.xml")]
    for variable in ("MAVEN_HOME", "M2_HOME"):
        if os.environ.get(variable):
            files.append(os.path.join(os.environ[variable], "conf", "settings.xml"))
    return [*files, "/etc/maven/settings.xml"]


def _texts(element: ElementTree.Element) -> Dict[str, str]:
    """Return the children's texts by name, without namespaces, with ``${env.NAME}`` replaced."""
    return {
        child.tag.rpartition("}")[2]: re.sub(
            r"\$\{env\.(\w+)\}",
            lambda name: os.environ.get(name.group(1), ""),
            (child.text or "").strip(),
        )
        for child in element
    }


def maven_mirror() -> Optional[Setting]:
    """Return the mirror of Maven Central: MAVEN_MIRROR or a mirror of a settings.xml."""
    given = os.environ.get("MAVEN_MIRROR")
    if given:
        return Setting(given.rstrip("/"), "MAVEN_MIRROR")
    for file in _settings_files():
        try:
            tree = ElementTree.parse(file)
        except (OSError, ElementTree.ParseError):
            continue
        servers: Dict[str, Dict[str, str]] = {}
        mirrors: List[Dict[str, str]] = []
        for element in tree.iter():
            kind = element.tag.rpartition("}")[2]
            if kind == "mirror":
                mirrors.append(_texts(element))
            elif kind == "server":
                server = _texts(element)
                servers[server.get("id", "")] = server
        for mirror in mirrors:
            of = [word.strip() for word in mirror.get("mirrorOf", "").split(",")]
            if {"*", "external:*", "central"} & set(of) and "!central" not in of:
                url = mirror.get("url", "").rstrip("/")
                return Setting(_with_login(url, servers.get(mirror.get("id", ""))), file)
    return None


def _with_login(url: str, server: Optional[Dict[str, str]]) -> str:
    # Only Maven can read a password that it encrypted ({…}).
    if not server or not server.get("username") or server.get("password", "{").startswith("{"):
        return url
    scheme, _, rest = url.partition("://")
    login = quote(server["username"], safe="") + ":" + quote(server["password"], safe="")
    return f"{scheme}://{login}@{rest}"


def masked(text: str) -> str:
    """Return ``text`` without user names and passwords in its URLs."""
    return re.sub(r"://[^/?#\s]+@", "://***@", text)


if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], dict(os.environ, **uv_environment()))
