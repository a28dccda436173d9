"""Authorities, certificates and TLS connections for the tests.

Everything is made by the openssl program in a folder of the test's own.
"""

import dataclasses
import pathlib
import ssl
import subprocess
import time

import grpc

import wire

CONFIG = """[ca]
default_ca = main
[main]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
default_crl_days = 1
[any]
commonName = supplied
"""
DAY = 24 * 3600


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Two PEM files."""
    pem: pathlib.Path
    key: pathlib.Path

    def expiry(self):
        """Seconds since the Unix epoch."""
        text = subprocess.run(
            ["openssl", "x509", "-in", self.pem, "-noout", "-enddate"],
            capture_output=True, check=True, text=True).stdout
        return ssl.cert_time_to_seconds(text.strip().partition("=")[2])

    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.pem.read_text())


class Authority:
    """Issues certificates. `folder` is made."""

    def __init__(self, folder, name):
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True)
        (self._folder / "ca.cnf").write_text(CONFIG)
        (self._folder / "index.txt").touch()
        self._issued = 0
        self._run("req", "-x509", *self._new_key("ca"), "-days", "2",
                  "-subj", f"/CN={name}", "-out", "ca.pem")

    @property
    def pem(self):
        return self._folder / "ca.pem"

    def issue(self, name, start=-DAY, end=2 * DAY):
        """Valid from and to these seconds from now."""
        self._issued += 1
        stem = f"{name}-{self._issued}"
        self._run("req", *self._new_key(stem), "-subj", f"/CN={name}",
                  "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1",
                  "-out", f"{stem}.csr")
        now = time.time()
        dates = [time.strftime("%y%m%d%H%M%SZ", time.gmtime(now + offset))
                 for offset in (start, end)]
        self._run("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert",
                  "ca.pem", "-keyfile", "ca.key", "-startdate", dates[0],
                  "-enddate", dates[1], "-in", f"{stem}.csr", "-out",
                  f"{stem}.pem")
        return Certificate(self._folder / f"{stem}.pem",
                           self._folder / f"{stem}.key")

    def _new_key(self, stem):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-keyout", f"{stem}.key"]

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True,
                       capture_output=True)


class Served:
    """A folder with tls.crt, tls.key and ca.crt, changed as Kubernetes changes
    a mounted secret: the files are links into a folder that is itself a link,
    which is renamed."""

    NAMES = ("tls.crt", "tls.key", "ca.crt")

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True)
        self._version = 0
        for name in self.NAMES:
            (self._folder / name).symlink_to(pathlib.Path("..data") / name)

    def put(self, certificate, key, client_ca):
        """Each is the path of a file whose content is taken."""
        self._version += 1
        data = self._folder / f"..v{self._version}"
        data.mkdir()
        for name, source in zip(self.NAMES, (certificate, key, client_ca),
                                strict=True):
            (data / name).write_bytes(source.read_bytes())
        link = self._folder / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(self._folder / "..data")

    def flags(self):
        return ["--tls-cert", str(self._folder / "tls.crt"),
                "--tls-key", str(self._folder / "tls.key"),
                "--tls-client-ca", str(self._folder / "ca.crt")]


class TlsConnection(wire.Connection):
    """gRPC's own client. `client`: its Certificate, if it shows one."""

    def __init__(self, address, authority, client=None):
        credentials = grpc.ssl_channel_credentials(
            authority.pem.read_bytes(),
            client.key.read_bytes() if client else None,
            client.pem.read_bytes() if client else None)
        # Else all channels with the same arguments would share a connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        super().__init__(address, grpc.secure_channel(address, credentials,
                                                      options))


def client_context(authority, client=None):
    """For plain sockets: Python's TLS, which says why a handshake fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.pem)
    context.set_alpn_protocols(["h2"])
    if client:
        context.load_cert_chain(client.pem, client.key)
    return context
