#!/bin/bash
# deb.sh: build/mezite_VERSION_ARCH.deb from what is in build/bin.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^project(mezite VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
arch=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tree=$root/mezite
install -d "$tree/DEBIAN" "$tree/usr/bin" "$tree/lib/systemd/system" "$tree/etc/mezite" "$tree/usr/share/doc/mezite"
for program in mezhub mezd mezctl msh; do
  install -m 755 "build/bin/$program" "$tree/usr/bin/"
  strip --strip-unneeded "$tree/usr/bin/$program"
done
install -m 644 packaging/systemd/*.service "$tree/lib/systemd/system/"
install -m 640 packaging/mezite.yaml "$tree/etc/mezite/"
install -m 644 README.md LICENSE docs/*.md "$tree/usr/share/doc/mezite/"
echo /etc/mezite/mezite.yaml >"$tree/DEBIAN/conffiles"
# dpkg-shlibdeps wants a debian/control beside it.
mkdir -p "$root/debian"
printf 'Source: mezite\nPackage: mezite\nArchitecture: any\n' >"$root/debian/control"
depends=$(cd "$root" && dpkg-shlibdeps -O mezite/usr/bin/* 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
cat >"$tree/DEBIAN/control" <<CONTROL
Package: mezite
Version: $version
Architecture: $arch
Maintainer: The Mezite authors <mezite@localhost>
Depends: $depends, adduser
Recommends: openssh-client
Section: admin
Priority: optional
Description: SSH access with certificates, roles, recordings and an audit log
 The hub (mezhub), the node agent (mezd), the admin's CLI (mezctl) and the user's CLI (msh).
CONTROL
cat >"$tree/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if [ "$1" = configure ] && ! getent passwd mezhub >/dev/null; then
  adduser --system --group --home /var/lib/mezite --no-create-home mezhub
fi
[ "$1" = configure ] && chgrp mezhub /etc/mezite/mezite.yaml
exit 0
POSTINST
chmod 755 "$tree/DEBIAN/postinst"
dpkg-deb --root-owner-group --build "$tree" "build/mezite_${version}_${arch}.deb" >/dev/null
echo "build/mezite_${version}_${arch}.deb"
