#!/bin/sh
# Makes a Debian base image without an image registry: debootstrap from an apt mirror, imported.
#
#   make-base.sh SUITE MIRROR TAG [SECURITY_MIRROR]     (as root; needs debootstrap and docker)
#
# SECURITY_MIRROR, when given, is written into the image's sources so that builds get updates.
set -eu
suite=$1 mirror=$2 tag=$3 security=${4:-}
for address in "$mirror" "$security"; do
    host=${address#*://}
    case ${host%%/*} in
    *@*)
        echo "make-base.sh: the image would hold the user or the password in a mirror's address;" \
            "give an address without them" >&2
        exit 2
        ;;
    esac
done

work=$(mktemp -d)
clean() {
    # debootstrap mounts the machine's own /proc and /sys while it works, and may be killed.
    awk -v under="$work/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r mounted; do umount "$mounted" || umount --lazy "$mounted" || true; done
    rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# /dev and /proc are the engine's business; minbase is what the slim images are made from.
debootstrap --variant=minbase "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    exit 1
}
{
    echo "deb $mirror $suite main"
    if [ -n "$security" ]; then echo "deb $security $suite-security main"; fi
} >"$work/root/etc/apt/sources.list"
# A service must not start because its package was installed.
printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"
chmod 755 "$work/root/usr/sbin/policy-rc.d"
echo 'Acquire::Languages "none";' >"$work/root/etc/apt/apt.conf.d/90-small"
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/* \
    "$work"/root/var/log/* "$work"/root/usr/share/doc/* "$work"/root/usr/share/man/* \
    "$work"/root/usr/share/locale/*
{ tar -C "$work/root" --one-file-system -c . || : >"$work/torn"; } |
    docker import -c 'CMD ["bash"]' - "$tag"
if [ -e "$work/torn" ]; then
    docker image rm "$tag" >/dev/null
    echo "make-base.sh: tar could not read all of the new system" >&2
    exit 1
fi
