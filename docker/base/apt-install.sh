#!/bin/sh
# Installs packages with apt while an image is built, and records the version of each package.
#
#   RUN --mount=type=secret,id=ca,target=/run/build-ca.crt,mode=0444 apt-install.sh NAME=VERSION …
#
# Dockerfiles pin the upstream version (`curl=7.88.*`). A stable Debian keeps it for its whole life,
# but each security update replaces the exact version. /usr/share/hot-loading/apt.txt has the exact
# versions.
set -eu
lent=/etc/apt/apt.conf.d/99-build-ca
remedy="name a base image with another source in BASE_IMAGE_BOOKWORM or _BULLSEYE"
if [ -s /run/build-ca.crt ]; then
    # A company's certificate authorities, for an apt mirror behind https; readable by apt's user.
    echo 'Acquire::https::CaInfo "/run/build-ca.crt";' >"$lent"
else
    # The old builder passes certificate authorities on only if DOCKER_BUILD_CA is set.
    remedy="name your company's authorities in DOCKER_BUILD_CA if the mirror needs them, or $remedy"
fi
# Without this error mode apt only warns of a mirror that it cannot reach. The packages would come
# from the other sources, for instance without security updates.
apt-get update -qq -o APT::Update::Error-Mode=any -o Acquire::Retries=3 || {
    echo "apt-install.sh: apt cannot read all of the image's package sources; try again," \
        "or $remedy" >&2
    exit 1
}
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || {
    echo "apt-install.sh: apt cannot install $*; raise the pins in the Dockerfile if the source has" \
        "newer versions, or name a base image with another source in BASE_IMAGE_BOOKWORM or" \
        "_BULLSEYE" >&2
    exit 1
}
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/* "$lent"
mkdir -p /usr/share/hot-loading
dpkg-query --show --showformat '${Package}=${Version}\n' >/usr/share/hot-loading/apt.txt
