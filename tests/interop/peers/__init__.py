"""The peers of the matrix, one file each."""
from .asyncssh import AsyncSSH
from .dropbear import Dropbear
from .libssh import LibSSH
from .openssh import OpenSSH
from .paramiko import Paramiko
from .plink import Plink
from .ssh2 import Ssh2
from .xcrypto import XCrypto

ALL = [OpenSSH(), Paramiko(), AsyncSSH(), XCrypto(), LibSSH(), Dropbear(), Plink(), Ssh2()]


def rows():
    """Each peer in each of its roles."""
    return [(peer, role) for peer in ALL for role in peer.roles]
