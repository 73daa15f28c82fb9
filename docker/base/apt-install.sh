#!/bin/sh
# In a build: installs packages with apt and writes down which versions they and all others have.
#
#   RUN --mount=type=secret,id=ca,target=/run/build-ca.crt,mode=0444 apt-install.sh NAME=VERSION …
#
# Pinned is the upstream version (`curl=7.88.*`): a stable Debian keeps it for its whole life and
# takes the exact ones back with each security update. /usr/share/hot-loading/apt.txt has the exact.
set -eu
lent=/etc/apt/apt.conf.d/99-build-ca
cure="name a base image with another source in BASE_IMAGE_BOOKWORM or _BULLSEYE"
if [ -s /run/build-ca.crt ]; then
    # A company's certificate authorities, for an apt mirror behind https; readable by apt's user.
    echo 'Acquire::https::CaInfo "/run/build-ca.crt";' >"$lent"
else
    # The old builder's, which is lent none unasked.
    cure="name your company's authorities in DOCKER_BUILD_CA if the mirror needs them, or $cure"
fi
# Without the mode a mirror that cannot be reached is a warning, and packages would come from what
# is left of the sources, without security updates for instance.
apt-get update -qq -o APT::Update::Error-Mode=any -o Acquire::Retries=3 || {
    echo "apt-install.sh: apt cannot read all of the image's package sources; try again," \
        "or $cure" >&2
    exit 1
}
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || {
    echo "apt-install.sh: apt gave no $*; raise the pins in the Dockerfile if its source has moved" \
        "on, or name a base image with another source in BASE_IMAGE_BOOKWORM or _BULLSEYE" >&2
    exit 1
}
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/* "$lent"
mkdir -p /usr/share/hot-loading
dpkg-query --show --showformat '${Package}=${Version}\n' >/usr/share/hot-loading/apt.txt
