"""Archives as other producers make them: all legal, all of the same model.

Values in, values out: members and the top folder's name go in, a tarball's bytes come out.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Mapping

from .releases import file_entry, folder_entry


def as_upstream(members: Mapping[str, bytes], top: str) -> bytes:
    """Pack as ``tarfile.open(name, "w:gz").add(folder)``.

    The archive has pax format, fractional times of now, and the producer's user and group.
    """
    return gzip.compress(_packed(members, top, tarfile.PAX_FORMAT))


def as_gnu_tar(members: Mapping[str, bytes], top: str) -> bytes:
    """``tar -czf NAME ./MODEL``: GNU format, names that begin with ``./``."""
    return gzip.compress(_packed(members, f"./{top}", tarfile.GNU_FORMAT))


def without_folders(members: Mapping[str, bytes], top: str) -> bytes:
    """Files only: the folder is in their names."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in members.items():
            archive.addfile(file_entry(f"{top}/{path}", len(data)), io.BytesIO(data))
    return gzip.compress(packed.getvalue())


def plain(members: Mapping[str, bytes], top: str) -> bytes:
    """Not compressed at all, whatever the name says."""
    return _packed(members, top, tarfile.USTAR_FORMAT)


def with_company(members: Mapping[str, bytes], top: str) -> bytes:
    """Pack as upstream's quick-start tarball, on a Mac.

    The client's folder is beside the model's. A Mac's ``tar`` adds a file ``._NAME`` for each file.
    """
    double = bytes.fromhex("00051607 00020000") + b"Mac OS X        "
    client = top.replace("_model", "_client")
    files = {f"{client}/serving_client_conf.prototxt": members["serving_server_conf.prototxt"]}
    files[f"._{top}"] = double
    for path, data in members.items():
        folder, slash, name = path.rpartition("/")
        files[f"{top}/{folder}{slash}._{name}"] = double
        files[f"{top}/{path}"] = data
    files[f"{top}/.DS_Store"] = bytes.fromhex("00000001") + b"Bud1"
    files[f"__MACOSX/._{top}"] = double
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in (client, top):
            archive.addfile(_dressed(folder_entry(folder)))
        for path, data in files.items():
            archive.addfile(_dressed(file_entry(path, len(data))), io.BytesIO(data))
    return gzip.compress(packed.getvalue())


def as_gnu_tar_sparse(members: Mapping[str, bytes], top: str) -> bytes:
    """Pack as ``tar -V LABEL -cSzf NAME MODEL``.

    The archive has a volume label, files that end with a hole, and a hard link where two files are
    one. Its owner's name is not UTF-8.
    """
    label = tarfile.TarInfo("models of today")
    label.type = b"V"
    packed = label.tobuf(tarfile.GNU_FORMAT)
    first: dict[bytes, str] = {}
    for path, data in members.items():
        entry = file_entry(f"{top}/{path}", len(data))
        entry.uname = "用户".encode("gbk").decode("utf-8", "surrogateescape")
        stored = data.rstrip(b"\0")
        if first.setdefault(data, entry.name) != entry.name:
            entry.type, entry.linkname, stored = tarfile.LNKTYPE, first[data], b""
        elif stored != data:
            entry.type = tarfile.GNUTYPE_SPARSE
        entry.size = len(stored)
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))
        if entry.type == tarfile.GNUTYPE_SPARSE:
            # One piece, at the beginning; then the size with the hole behind it.
            header[-126:-102] = b"%011o\0%011o\0" % (0, len(stored))
            header[-29:-17] = b"%011o\0" % len(data)
            rest = header[-512:-364] + b" " * 8 + header[-356:]
            header[-364:-356] = b"%06o\0 " % sum(rest)
        packed += bytes(header) + stored + bytes(-len(stored) % 512)
    return gzip.compress(packed + bytes(1024))


def as_posix_tar_sparse(members: Mapping[str, bytes], top: str) -> bytes:
    """Pack as ``tar --format=posix -cSf NAME MODEL``, without the end of the archive.

    Long names and the maps of sparse files are in pax records.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in members.items():
            entry, stored = file_entry(f"{top}/{path}", len(data)), data
            if data.endswith(b"\0"):
                entry.pax_headers = {
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.name": entry.name,
                    "GNU.sparse.realsize": str(len(data)),
                }
                entry.name = f"{top}/GNUSparseFile.0/{path}"
                stored = data.rstrip(b"\0")
                # One piece, at the beginning.
                stored = f"1\n0\n{len(stored)}\n".encode().ljust(512, b"\0") + stored
                entry.size = len(stored)
            archive.addfile(_dressed(entry), io.BytesIO(stored))
        return packed.getvalue()[: archive.offset]


def without_top(members: Mapping[str, bytes], top: str) -> bytes:
    """``tar -C MODEL -czf NAME .``: no folder's name before the files'."""
    del top
    return gzip.compress(_packed(members, ".", tarfile.GNU_FORMAT))


def _packed(members: Mapping[str, bytes], top: str, form: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        archive.addfile(_dressed(folder_entry(top)))
        for path, data in members.items():
            entry = _dressed(file_entry(f"{top}/{path}", len(data)))
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _dressed(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = time.time()  # the pax format keeps the fraction
    entry.uid, entry.gid, entry.uname, entry.gname = 1000, 1000, "producer", "producers"
    return entry
