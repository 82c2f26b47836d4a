"""An authority of a test's own, made with openssl(1) as an operator would."""

import pathlib
import subprocess

_CONFIG = """
[ca]
default_ca = this
[this]
database = {folder}/index
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
default_days = 2
default_crl_days = 1
unique_subject = no
copy_extensions = copy
policy = anything
[anything]
organizationalUnitName = optional
commonName = optional
"""


class Authority:
    """`ca.pem` of its folder, and what it issues and revokes."""

    def __init__(self, folder, name="test"):
        self.folder = pathlib.Path(folder) / f"authority-{name}"
        self.folder.mkdir()
        (self.folder / "index").touch()
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "ca.cnf").write_text(_CONFIG.format(folder=self.folder))
        self._openssl("req", "-x509", *self._new_key("ca.key"), "-days", "2", "-subj", f"/CN={name} CA",
                      "-out", "ca.pem")
        self.certificate = self.folder / "ca.pem"
        self.crl = self.folder / "crl.pem"
        self.write_crl()

    def issue(self, name, *, unit=None, dates=(), server=False):
        """Returns (certificate, key), two paths. `dates`: not before, not after, as YYMMDDHHMMSSZ."""
        subject = (f"/OU={unit}" if unit else "") + f"/CN={name}"
        extension = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"] if server else []
        self._openssl("req", *self._new_key(f"{name}.key"), "-subj", subject, *extension,
                      "-out", f"{name}.csr")
        times = ["-startdate", dates[0], "-enddate", dates[1]] if dates else []
        self._ca("-batch", "-notext", "-in", f"{name}.csr", "-out", f"{name}.pem", *times)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def revoke(self, certificate):
        self._ca("-revoke", certificate)
        self.write_crl()

    def write_crl(self):
        self._ca("-gencrl", "-out", "crl.new")
        (self.folder / "crl.new").rename(self.crl)

    def _ca(self, *arguments):
        self._openssl("ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", *arguments)

    @staticmethod
    def _new_key(name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name]

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=30)
